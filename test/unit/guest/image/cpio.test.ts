import { spawnSync } from 'node:child_process';
import { expect } from 'chai';
import fc from 'fast-check';
import { type CpioEntry, writeCpio } from '../../../../guest/image/cpio.js';
import { requireOrSkip } from '../../../support/require.js';

interface ReadEntry {
  readonly path: string;
  readonly mode: number;
  readonly rdev: readonly [number, number];
  readonly mtime: number;
  readonly data: Buffer;
}

/** An independent reader of newc, written from the kernel's buffer-format.rst. */
function readCpio(archive: Buffer): ReadEntry[] {
  const entries: ReadEntry[] = [];
  for (let at = 0; ; ) {
    expect(at % 4, 'headers are aligned').to.equal(0);
    expect(archive.toString('latin1', at, at + 6)).to.equal('070701');
    const field = (index: number) =>
      Number.parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const size = field(6);
    const nameSize = field(11);
    const path = archive.toString('utf8', at + 110, at + 110 + nameSize - 1);
    expect(archive[at + 110 + nameSize - 1], 'the name ends in NUL').to.equal(0);
    const start = Math.ceil((at + 110 + nameSize) / 4) * 4;
    if (path === 'TRAILER!!!') {
      expect(archive.length, 'nothing after the trailer').to.equal(start);
      return entries;
    }
    entries.push({
      path,
      mode: field(1),
      rdev: [field(9), field(10)],
      mtime: field(5),
      data: archive.subarray(start, start + size),
    });
    at = Math.ceil((start + size) / 4) * 4;
  }
}

const name = fc.stringMatching(/^[A-Za-z0-9_.+-]{1,12}$/).filter((text) => text !== '.' && text !== '..');
const entriesOf = fc
  .uniqueArray(
    fc.record({
      name,
      kind: fc.nat(3),
      mode: fc.nat(0o7777),
      data: fc.uint8Array({ maxLength: 300 }),
      device: fc.nat(255),
    }),
    { selector: (entry) => entry.name, maxLength: 12 },
  )
  .map((items) =>
    items.map(({ name: path, kind, mode, data, device }): CpioEntry => {
      if (kind === 0) return { kind: 'directory', path, mode };
      if (kind === 1) return { kind: 'file', path, mode, content: data };
      if (kind === 2) return { kind: 'symlink', path, target: `/t/${path}` };
      return { kind: 'character-device', path, mode, major: device, minor: 255 - device };
    }),
  );

describe('writeCpio', () => {
  it('is read back by an independent reader, entry by entry', () => {
    fc.assert(
      fc.property(entriesOf, (entries) => {
        const read = readCpio(writeCpio(entries));
        expect(read.map(({ path }) => path)).to.deep.equal(entries.map(({ path }) => path));
        for (const [index, entry] of entries.entries()) {
          const found = read[index]!;
          expect(found.mtime).to.equal(0);
          if (entry.kind === 'directory') expect(found.mode).to.equal(0o040000 | entry.mode);
          if (entry.kind === 'file')
            expect(found).to.deep.include({ mode: 0o100000 | entry.mode, data: Buffer.from(entry.content) });
          if (entry.kind === 'symlink')
            expect(found).to.deep.include({ mode: 0o120777, data: Buffer.from(entry.target) });
          if (entry.kind === 'character-device') {
            expect(found).to.deep.include({ mode: 0o020000 | entry.mode, rdev: [entry.major, entry.minor] });
          }
        }
      }),
    );
  });

  it('gives the same bytes for the same entries', () => {
    fc.assert(fc.property(entriesOf, (entries) => writeCpio(entries).equals(writeCpio([...entries]))));
  });

  it('refuses paths that are absolute, climb, repeat, or precede their directory', () => {
    const file = (path: string): CpioEntry => ({ kind: 'file', path, mode: 0o644, content: new Uint8Array() });
    for (const path of ['/etc/passwd', '../x', 'a/../b', './a', 'a//b', '', 'a\0b', 'TRAILER!!!', 'no/such/folder']) {
      expect(() => writeCpio([file(path)]), path).to.throw(TypeError);
    }
    expect(() => writeCpio([file('a'), file('a')])).to.throw(TypeError, 'twice');
  });

  it('is listed by a program of somebody else', function () {
    const readers = [
      ['cpio', '-t'],
      ['bsdtar', '-tf', '-'],
      ['busybox', 'cpio', '-t'],
    ];
    const reader = readers.find(([program]) => spawnSync(program!, ['--help']).error === undefined);
    requireOrSkip(this, reader !== undefined, 'no cpio, bsdtar or busybox');
    const archive = writeCpio([
      { kind: 'directory', path: 'etc', mode: 0o755 },
      { kind: 'file', path: 'etc/hosts', mode: 0o644, content: Buffer.from('x'.repeat(1001)) },
      { kind: 'symlink', path: 'link', target: '/etc/hosts' },
      { kind: 'character-device', path: 'console', mode: 0o600, major: 5, minor: 1 },
    ]);
    const [program, ...args] = reader!;
    const { stdout, status } = spawnSync(program!, args, { input: archive, encoding: 'utf8' });
    expect(status).to.equal(0);
    expect(stdout.trim().split('\n')).to.have.members(['etc', 'etc/hosts', 'link', 'console']);
  });
});
