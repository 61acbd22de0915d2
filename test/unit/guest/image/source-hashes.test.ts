import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { SourceHashes } from '../../../../guest/image/source-hashes.js';

describe('hashes of source files', () => {
  let folder: string;
  const at = (name: string) => join(folder, name);
  const hash = (path = at('known.json'), settledMs = 0) => new SourceHashes(path, settledMs).of(folder, ['a.c', 'b.c']);

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hp-hashes-'));
    writeFileSync(at('a.c'), 'one');
    writeFileSync(at('b.c'), 'two');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('are over names and contents, and are read once', async () => {
    const first = await hash();
    expect(await hash()).to.equal(first);
    const known = JSON.parse(readFileSync(at('known.json'), 'utf8')) as { hash: string }[];
    expect(known.map((each) => each.hash)).to.deep.equal([first]);
    // What is remembered is what is told: the files are not read again.
    writeFileSync(at('known.json'), JSON.stringify(known.map((each) => ({ ...each, hash: 'remembered' }))));
    expect(await hash()).to.equal('remembered');
  });

  it('are others when a file has other bytes, even of the same size and time', async () => {
    const first = await hash();
    const { atime, mtime } = statSync(at('a.c'));
    writeFileSync(at('a.c'), 'ONE');
    utimesSync(at('a.c'), atime, mtime);
    const second = await hash();
    expect(second).to.not.equal(first);
    writeFileSync(at('a.c'), 'one');
    expect(await hash()).to.equal(first);
  });

  it('of files that were changed a moment ago are not remembered', async () => {
    const first = await hash(at('known.json'), 60_000);
    expect(existsSync(at('known.json'))).to.equal(false);
    expect(await hash()).to.equal(first);
  });

  it('need no place to be kept in, and a damaged one is written anew', async () => {
    const first = await hash(at('not/there/known.json'));
    writeFileSync(at('known.json'), '{"stamp":');
    expect(await hash()).to.equal(first);
    expect(JSON.parse(readFileSync(at('known.json'), 'utf8'))).to.have.length(1);
  });
});
