import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import { hasPvhNote } from '../../../../guest/image/elf.js';
import { extractVmlinux, kernelKind } from '../../../../guest/image/kernel.js';
import { decodeLz4Legacy } from '../../../../guest/image/lz4.js';
import { hasCode } from '../../../../src/core/errors.js';
import { requireOrSkip } from '../../../support/require.js';
import { bzImage, elfKernel, lz4Legacy, withSize } from './synthetic-kernel.js';

const never = async (): Promise<Buffer> => {
  throw new Error('not to be called');
};

async function rejection(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => expect.fail('it did not reject'),
    (error: Error) => error,
  );
}

describe('extractVmlinux', () => {
  const kernel = elfKernel({ pvh: true });

  it('finds an lz4 kernel by the setup header', async () => {
    expect((await extractVmlinux(bzImage(withSize(lz4Legacy(kernel), kernel.length)), never)).equals(kernel)).to.equal(
      true,
    );
  });

  it('counts 0 setup sectors as 4', async () => {
    const image = bzImage(withSize(lz4Legacy(kernel), kernel.length), { setupSectors: 0 });
    expect((await extractVmlinux(image, never)).equals(kernel)).to.equal(true);
  });

  it('finds a gzip kernel', async () => {
    expect((await extractVmlinux(bzImage(gzipSync(kernel)), never)).equals(kernel)).to.equal(true);
  });

  for (const [format, magic] of [
    ['xz', 'fd377a585a00'],
    ['zstd', '28b52ffd0000'],
  ] as const) {
    it(`hands ${format} to the ${format} program, without the size at its end`, async () => {
      const packed = Buffer.from(`${magic}0102`, 'hex');
      const seen: unknown[] = [];
      const found = await extractVmlinux(bzImage(withSize(packed, kernel.length)), async (name, data) => {
        seen.push(name, data.toString('hex'));
        return kernel;
      });
      expect(seen).to.deep.equal([format, `${magic}0102`]);
      expect(found.equals(kernel)).to.equal(true);
    });
  }

  const wrong: [string, Buffer, string][] = [
    ['a file that is no bzImage', Buffer.alloc(4096), 'not a bzImage'],
    ['an empty file', Buffer.alloc(0), 'not a bzImage'],
    ['a payload that reaches past the end', bzImage(lz4Legacy(kernel)).subarray(0, -1), 'past its end'],
    ['an unknown compression', bzImage(withSize(Buffer.from('0123456789abcdef'), 500)), 'unknown compression'],
    ['a claimed size beyond reason', bzImage(withSize(lz4Legacy(kernel), 0xffff_ffff)), 'claims'],
    ['a size that does not fit', bzImage(withSize(lz4Legacy(kernel), kernel.length + 1)), 'does not decompress'],
    ['a kernel without a PVH entry', bzImage(gzipSync(elfKernel({ pvh: false }))), 'PVH'],
    ['something else than an ELF', bzImage(gzipSync(Buffer.alloc(500))), 'PVH'],
  ];
  for (const [what, image, words] of wrong) {
    it(`refuses ${what}`, async () => {
      const error = await rejection(extractVmlinux(image, never));
      expect(hasCode(error, 'IMAGE_BUILD_FAILED')).to.equal(true);
      expect(error.message).to.include(words);
    });
  }
});

describe('kernelKind', () => {
  it('tells the two kinds from anything else', () => {
    expect(kernelKind(elfKernel({ pvh: true }))).to.equal('elf-pvh');
    expect(kernelKind(elfKernel({ pvh: false }))).to.equal(undefined);
    expect(kernelKind(bzImage(Buffer.alloc(16)))).to.equal('bzimage');
    expect(kernelKind(Buffer.from('#!/bin/sh\n'))).to.equal(undefined);
  });

  it('never throws, whatever the bytes', () => {
    const base = elfKernel({ pvh: true });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255)), { maxLength: 20 }),
        fc.nat(base.length),
        (edits, cut) => {
          const file = Buffer.from(base.subarray(0, cut));
          for (const [at, byte] of edits) if (at < cut) file[at] = byte;
          hasPvhNote(file);
          kernelKind(file);
        },
      ),
    );
  });
});

describe('decodeLz4Legacy', () => {
  it('reads what lz4 -l wrote', function () {
    requireOrSkip(this, spawnSync('lz4', ['--version']).error === undefined, 'no lz4');
    const samples = [
      Buffer.from('a'.repeat(100_000)),
      Buffer.from(`${'abcabcabd'.repeat(3000)}tail`),
      Buffer.from('x'),
      kernelLike(300_000),
    ];
    for (const sample of samples) {
      const packed = spawnSync('lz4', ['-l', '-9', '-c'], { input: sample, maxBuffer: 1 << 24 }).stdout;
      expect(decodeLz4Legacy(packed, sample.length).equals(sample)).to.equal(true);
    }
  });

  it('either gives exactly the size or throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.integer({ min: 1, max: 2000 }), (block, size) => {
        const head = Buffer.alloc(8);
        head.writeUInt32LE(0x184c2102, 0);
        head.writeUInt32LE(block.length, 4);
        try {
          expect(decodeLz4Legacy(Buffer.concat([head, block]), size)).to.have.length(size);
        } catch (error) {
          expect((error as Error).message).to.match(/^lz4: /);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

function kernelLike(size: number): Buffer {
  const data = Buffer.alloc(size);
  for (let at = 0; at < size; at++) data[at] = ((at * at) % 251) ^ (at >> 9);
  return data;
}
