import { createHash } from 'node:crypto';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { FileDigests } from '../../../src/host/file-digests.js';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const deadline = () => AbortSignal.timeout(60_000);

describe('digests of files', () => {
  let root: string;
  let file: string;
  let memory: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'hp-digests-'));
    file = join(root, 'file');
    memory = join(root, 'cache', 'digests.json');
    writeFileSync(file, 'first');
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it('are of the content, though size and mtime stay the same', async () => {
    const digests = new FileDigests(memory);
    utimesSync(file, 1, 1);
    expect(await digests.of(file, deadline())).to.equal(sha256('first'));
    writeFileSync(file, 'other');
    utimesSync(file, 1, 1);
    expect(await digests.of(file, deadline())).to.equal(sha256('other'));
    writeFileSync(`${file}.new`, 'third');
    renameSync(`${file}.new`, file);
    expect(await digests.of(file, deadline())).to.equal(sha256('third'));
  });

  it('are remembered: a file that did not change is not read again, by the next process either', async () => {
    await new FileDigests(memory).of(file, deadline());
    const known = readFileSync(memory, 'utf8');
    expect(known).to.include(sha256('first'));
    writeFileSync(memory, known.replace(sha256('first'), 'what was remembered'));
    expect(await new FileDigests(memory).of(file, deadline())).to.equal('what was remembered');
  });

  it('do without what is remembered when that is no such file', async () => {
    const digests = new FileDigests(memory);
    await digests.of(file, deadline());
    for (const damage of ['', '{"version":2,"digests":[]}', '{"version":1,"digests":[["a"]]}']) {
      writeFileSync(memory, damage);
      expect(await new FileDigests(memory).of(file, deadline())).to.equal(sha256('first'));
    }
    expect(await new FileDigests(join(file, 'place')).of(file, deadline())).to.equal(sha256('first'));
    expect(await new FileDigests(undefined).of(file, deadline())).to.equal(sha256('first'));
  });

  it('a reading that was aborted is another call’s to do again', async () => {
    const digests = new FileDigests(memory);
    const failure = await digests.of(file, AbortSignal.abort()).catch((error: unknown) => error);
    expect(failure).to.have.property('name', 'AbortError');
    expect(await digests.of(file, deadline())).to.equal(sha256('first'));
  });

  it('a call that waits for the reading of another, which is aborted, reads by itself', async () => {
    const digests = new FileDigests(memory);
    const large = join(root, 'large');
    const size = 64 * 1024 * 1024;
    writeFileSync(large, '');
    truncateSync(large, size);
    const abort = new AbortController();
    const first = digests.of(large, abort.signal).catch((error: Error) => error.name);
    while (!isOpen(large)) await delay(1);
    const second = digests.of(large, deadline());
    // Long enough for it to find that the first is reading, and too short to read all of it.
    await delay(10);
    abort.abort();
    expect(await first).to.equal('AbortError');
    expect(await second).to.equal(createHash('sha256').update(Buffer.alloc(size)).digest('hex'));
  });
});

/** By this process. */
function isOpen(path: string): boolean {
  return readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false; // the directory's own, closed by now
    }
  });
}
