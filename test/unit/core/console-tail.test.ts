import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { consoleLogFrom, consoleTail } from '../../../src/core/vm/console-tail.js';

describe("the end of a guest's console", () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'hp-console-'));
    path = join(directory, 'console.log');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('is of this boot alone: what the one before wrote is not told as its words', async () => {
    writeFileSync(path, 'Kernel panic of the boot before\n');
    const log = await consoleLogFrom(path);
    expect(await consoleTail(log)).to.equal('');
    appendFileSync(path, 'this boot\r\n\x1b[1mbold\xff\n');
    expect(await consoleTail(log)).to.equal('this boot\n?[1mbold??');
  });

  it('is its last 2048 bytes, however long the boots before were', async () => {
    writeFileSync(path, 'x'.repeat(5_000));
    const log = await consoleLogFrom(path);
    appendFileSync(path, `${'y'.repeat(3_000)}z`);
    expect(await consoleTail(log)).to.equal(`${'y'.repeat(2_047)}z`);
  });

  it('of a file begun anew, or of none, is what there is', async () => {
    writeFileSync(path, 'a long story of the boot before');
    const log = await consoleLogFrom(path);
    writeFileSync(path, 'short\n');
    expect(await consoleTail(log)).to.equal('short');
    expect(await consoleTail(await consoleLogFrom(join(directory, 'none')))).to.equal('');
  });
});
