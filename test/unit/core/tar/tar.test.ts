import { execFileSync } from 'node:child_process';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import fc from 'fast-check';
import { decodeHeader, encodeHeader, type TarHeader } from '../../../../src/core/tar/header.js';
import { type PackEntry, pack } from '../../../../src/core/tar/pack.js';
import { unpack } from '../../../../src/core/tar/unpack.js';
import { rejects } from '../../../support/rejects.js';
import { requireOrSkip } from '../../../support/require.js';

interface Plain extends TarHeader {
  readonly bytes: string;
}

const word = fc.stringMatching(/^[a-zA-Z0-9 é_-][a-zA-Z0-9 é._-]{0,70}$/);
const path = fc.array(word, { minLength: 1, maxLength: 6 }).map((words) => words.join('/'));
const entry: fc.Arbitrary<Plain> = fc
  .record({
    path,
    type: fc.constantFrom('file' as const, 'directory' as const, 'symlink' as const, 'hardlink' as const),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    modifiedAt: fc.integer({ min: 0, max: 2 ** 40 }),
    uid: fc.integer({ min: 0, max: 2 ** 31 }),
    gid: fc.integer({ min: 0, max: 2 ** 31 }),
    target: path,
    bytes: fc.uint8Array({ maxLength: 1500 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  })
  .map((each) => {
    const file = each.type === 'file';
    const bytes = file ? each.bytes : '';
    const target = each.type.endsWith('link') ? each.target : '';
    return { ...each, bytes, target, sizeBytes: bytes.length / 2 };
  });

async function* entries(list: readonly Plain[]): AsyncGenerator<PackEntry> {
  for (const { bytes, ...header } of list) {
    yield header.type === 'file' ? { ...header, content: Readable.from([Buffer.from(bytes, 'hex')]) } : header;
  }
}

/** The same bytes in pieces of these sizes, over and over. */
async function* cut(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  for (let at = 0, piece = 0; at < bytes.length; piece++) {
    const size = sizes[piece % sizes.length] ?? 512;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Plain[]> {
  const found: Plain[] = [];
  for await (const { content, ...header } of unpack(source)) {
    found.push({ ...header, bytes: (await buffer(content)).toString('hex') });
  }
  return found;
}

const archive = (list: readonly Plain[]) => buffer(pack(entries(list)));
const plain = (changes: Partial<Plain>): Plain => ({
  path: 'f',
  type: 'file',
  mode: 0o644,
  sizeBytes: 0,
  modifiedAt: 1,
  uid: 0,
  gid: 0,
  target: '',
  bytes: '',
  ...changes,
});

describe('tar', () => {
  it('what is packed is unpacked, however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 5 }),
        async (list, sizes) => {
          expect(await all(cut(await archive(list), sizes))).to.deep.equal(list);
        },
      ),
      { numRuns: 60 },
    );
  });

  for (const program of [['tar'], ['busybox', 'tar']] as const) {
    it(`${program.join(' ')} reads what we write, and we what it writes`, async function () {
      const has = (() => {
        try {
          execFileSync(program[0], ['--help'], { stdio: 'ignore' });
          return true;
        } catch {
          return false;
        }
      })();
      requireOrSkip(this, has, `${program[0]} is needed`);
      const long = `${'long/'.repeat(50)}name`;
      const list = [
        plain({ path: 'dir', type: 'directory', mode: 0o755 }),
        plain({ path: 'dir/a', bytes: '00ff', sizeBytes: 2, mode: 0o4750 }),
        plain({ path: long, bytes: '41', sizeBytes: 1 }),
        plain({ path: 'link', type: 'symlink', target: `../${long}`, mode: 0o777 }),
      ];
      const [file, ...args] = program;
      const told = execFileSync(file, [...args, 't', '-f', '-'], { input: await archive(list) }).toString();
      expect(told.trim().split('\n')).to.deep.equal(['dir/', 'dir/a', long, 'link']);
      const theirs = execFileSync(file, [...args, 'c', '-f', '-', '-C', '/', 'etc/hostname', 'bin'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const [hostname] = await all(cut(theirs, [10_000]));
      expect(hostname?.path).to.equal('etc/hostname');
      expect(Buffer.from(hostname?.bytes ?? '', 'hex').toString()).to.equal(
        execFileSync('cat', ['/etc/hostname']).toString(),
      );
    });
  }

  it('sizes beyond octal digits', () => {
    const sizeBytes = 2 ** 40 + 5;
    const block = encodeHeader(plain({ sizeBytes }));
    expect(decodeHeader(block)?.sizeBytes).to.equal(sizeBytes);
  });

  it('pax names and sizes', async () => {
    const record = (key: string, value: string) => {
      const body = ` ${key}=${value}\n`;
      let length = Buffer.byteLength(body) + 1;
      while (String(length).length + Buffer.byteLength(body) !== length) length++;
      return `${length}${body}`;
    };
    const attributes = Buffer.from(record('path', 'päth/é') + record('mtime', '1.5') + record('size', '3'));
    const header = encodeHeader(plain({ path: 'PaxHeaders/x', sizeBytes: attributes.length }));
    header.write('x', 156);
    header.fill(0x20, 148, 156);
    let sum = 0;
    for (const byte of header) sum += byte;
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    const whole = Buffer.concat([
      header,
      attributes,
      Buffer.alloc(512 - attributes.length),
      encodeHeader(plain({ path: 'short' })),
      Buffer.from('abc'),
      Buffer.alloc(509 + 1024),
    ]);
    expect((await all(cut(whole, [512]))).map(({ path, bytes }) => [path, bytes])).to.deep.equal([
      ['päth/é', '616263'],
    ]);
  });

  it('a content that is not taken is skipped', async () => {
    const list = [plain({ path: 'a', bytes: 'aa'.repeat(2000), sizeBytes: 2000 }), plain({ path: 'b' })];
    const paths: string[] = [];
    for await (const { path } of unpack(cut(await archive(list), [700]))) paths.push(path);
    expect(paths).to.deep.equal(['a', 'b']);
  });

  it('a file that is not as long as was told is an error', async () => {
    await rejects(archive([plain({ path: 'a', bytes: '00', sizeBytes: 2 })]), 'POD_COPY_FAILED', 'a changed');
    await rejects(archive([plain({ path: 'a', bytes: '0000', sizeBytes: 1 })]), 'POD_COPY_FAILED', 'a changed');
  });

  describe('of a hostile guest', () => {
    it('any bytes end in an error or in entries, never in a hang or another error', async () => {
      const good = await archive([plain({ path: 'a/b', bytes: 'ff'.repeat(600), sizeBytes: 600 }), plain({})]);
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.integer({ min: 0, max: good.length - 1 }), fc.integer({ min: 0, max: 255 })), {
            maxLength: 6,
          }),
          fc.integer({ min: 0, max: good.length }),
          async (changes, length) => {
            const bad = Buffer.from(good.subarray(0, length));
            for (const [at, byte] of changes) if (at < bad.length) bad[at] = byte;
            await all(cut(bad, [512])).catch((error: unknown) => {
              expect(error).to.include({ code: 'POD_COPY_FAILED' });
            });
          },
        ),
        { numRuns: 300 },
      );
    });
    it('an archive that is cut off, or no archive, is an error', async () => {
      const good = await archive([plain({ bytes: 'ff'.repeat(600), sizeBytes: 600 })]);
      await rejects(all(cut(good.subarray(0, 900), [512])), 'POD_COPY_FAILED', 'cut off');
      await rejects(all(cut(Buffer.alloc(512, 65), [512])), 'POD_COPY_FAILED', 'checksum');
    });
    it('names without end and filling without end are not listened to', async () => {
      const name = encodeHeader(plain({ path: 'x'.repeat(200) })).subarray(0, 1024);
      const endless = async function* () {
        for (;;) yield name;
      };
      await rejects(all(endless()), 'POD_COPY_FAILED', 'without an entry');
      let left = false;
      const zeros = async function* () {
        try {
          for (;;) yield Buffer.alloc(65_536);
        } finally {
          left = true;
        }
      };
      expect(await all(zeros())).to.deep.equal([]);
      expect(left).to.equal(true);
    });
  });
});
