import { open, readFile } from 'node:fs/promises';
import { fieldError } from '../../src/core/errors.js';
import { type KernelKind, kernelKind } from './kernel.js';

/** First bytes of what the kernel unpacks as an initramfs (lib/decompress.c; cpio: init/initramfs.c). */
const INITRAMFS_MAGICS: readonly Buffer[] = [
  Buffer.from('070701'),
  Buffer.from('070702'),
  Buffer.from([0x1f, 0x8b]),
  Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]),
  Buffer.from([0x28, 0xb5, 0x2f, 0xfd]),
  Buffer.from([0x02, 0x21, 0x4c, 0x18]),
  Buffer.from('BZh'),
  Buffer.from([0x5d, 0x00, 0x00]),
];

/** @throws IMAGE_NOT_FOUND naming `field`: unreadable, or nothing that QEMU could boot. */
export async function checkKernel(field: string, path: string): Promise<KernelKind> {
  const kind = kernelKind(await readFile(path).catch((error) => unreadable(field, path, error)));
  if (!kind) throw fieldError('IMAGE_NOT_FOUND', field, 'an x86-64 ELF kernel with a PVH entry, or a bzImage', path);
  return kind;
}

/** @throws IMAGE_NOT_FOUND naming `field`. */
export async function checkInitramfs(field: string, path: string): Promise<void> {
  const start = await firstBytes(path, 8).catch((error) => unreadable(field, path, error));
  if (!INITRAMFS_MAGICS.some((magic) => start.subarray(0, magic.length).equals(magic))) {
    throw fieldError('IMAGE_NOT_FOUND', field, 'a cpio archive, compressed or not', path);
  }
}

async function firstBytes(path: string, count: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(count), 0, count, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function unreadable(field: string, path: string, error: unknown): never {
  throw fieldError('IMAGE_NOT_FOUND', field, `a readable file (${(error as NodeJS.ErrnoException).code})`, path);
}
