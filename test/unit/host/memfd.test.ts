import { closeSync, fstatSync, ftruncateSync, openSync, readlinkSync, readSync, writeSync } from 'node:fs';
import { expect } from 'chai';
import { copyData, createMemfd, isSealed, sealMemfd } from '../../../src/host/memfd.js';

const MIB = 1024 * 1024;
const call = () => ({ signal: AbortSignal.timeout(10_000) });
const blocksOf = (fd: number) => fstatSync(fd).blocks;

describe('memfd', () => {
  const open: number[] = [];
  const memfd = (name: string, size: number) => {
    const fd = createMemfd(name, size);
    open.push(fd);
    return fd;
  };
  afterEach(() => {
    for (const fd of open.splice(0)) closeSync(fd);
  });

  it('is a file of that size, all holes, by whose name /proc knows it', () => {
    const fd = memfd('hyperplug-test', 8 * MIB);
    expect(fstatSync(fd).size).to.equal(8 * MIB);
    expect(blocksOf(fd)).to.equal(0);
    expect(readlinkSync(`/proc/self/fd/${fd}`)).to.equal('/memfd:hyperplug-test (deleted)');
    expect(isSealed(fd)).to.equal(false);
  });

  it('sealed, it opens for writing, and nobody can write to it nor change its size', () => {
    const fd = memfd('hyperplug-test', 4096);
    writeSync(fd, 'as it was', 0);
    sealMemfd(fd);
    expect(isSealed(fd)).to.equal(true);
    const again = openSync(`/proc/self/fd/${fd}`, 'r+');
    open.push(again);
    for (const each of [fd, again]) {
      expect(() => writeSync(each, 'x', 0)).to.throw('EPERM');
      expect(() => ftruncateSync(each, 0)).to.throw('EPERM');
    }
    const content = Buffer.alloc(9);
    readSync(again, content, 0, 9, 0);
    expect(content.toString()).to.equal('as it was');
  });

  it('copies what is not a hole to its place, and leaves the holes', async () => {
    const from = memfd('from', 64 * MIB);
    const to = memfd('to', 64 * MIB);
    const parts = [
      [0, 'first'],
      [20 * MIB + 5, 'second'],
      [64 * MIB - 4, 'last'],
    ] as const;
    for (const [at, text] of parts) writeSync(from, text, at);
    const long = Buffer.alloc(9 * MIB, 'long');
    writeSync(from, long, 0, long.length, 40 * MIB);
    await copyData(from, to, call());
    for (const [at, text] of [...parts, [40 * MIB, long.toString()]] as const) {
      const found = Buffer.alloc(text.length);
      readSync(to, found, 0, found.length, at);
      expect(found.toString() === text, `at ${at}`).to.equal(true);
    }
    expect(blocksOf(to)).to.equal(blocksOf(from));
  });

  it('copies nothing of a file of holes, and stops when it is told to', async () => {
    const from = memfd('from', MIB);
    const to = memfd('to', MIB);
    await copyData(from, to, call());
    expect(blocksOf(to)).to.equal(0);
    writeSync(from, 'x', 0);
    const failure = await copyData(from, to, { signal: AbortSignal.abort() }).catch((error: unknown) => error);
    expect(failure).to.have.property('code', 'ABORTED');
    expect(blocksOf(to)).to.equal(0);
  });
});
