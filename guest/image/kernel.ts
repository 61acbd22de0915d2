import { HyperplugError } from '../../src/core/errors.js';
import { hasPvhNote } from './elf.js';
import { decodeLz4Legacy, LZ4_LEGACY_MAGIC } from './lz4.js';

const MAX_KERNEL_BYTES = 512 * 1024 * 1024;

/** `elf-pvh`: an uncompressed kernel that QEMU enters directly; `bzimage`: a compressed one with its own loader. */
export type KernelKind = 'elf-pvh' | 'bzimage';

export function kernelKind(file: Buffer): KernelKind | undefined {
  if (hasPvhNote(file)) return 'elf-pvh';
  return setupHeader(file) ? 'bzimage' : undefined;
}

/** Programs for what Node cannot decompress itself: gets the compressed bytes, gives the plain ones. */
export type Decompress = (format: 'xz' | 'zstd', input: Buffer) => Promise<Buffer>;

/**
 * The uncompressed kernel inside a bzImage, by its setup header (Documentation/arch/x86/boot.rst: payload_offset,
 * payload_length; the payload's last four bytes are the size of what it decompresses to, for gzip by gzip's own format).
 * @throws IMAGE_BUILD_FAILED it is no bzImage, or what it holds is no ELF with a PVH entry.
 */
export async function extractVmlinux(bzImage: Buffer, decompress: Decompress): Promise<Buffer> {
  const header = setupHeader(bzImage);
  if (!header) throw failed('not a bzImage (no HdrS of protocol 2.08 or later)');
  const start = (header.setupSectors + 1) * 512 + header.payloadOffset;
  const end = start + header.payloadLength;
  if (header.payloadLength < 8 || end > bzImage.length) throw failed('the payload reaches past its end');
  const payload = bzImage.subarray(start, end);
  const size = payload.readUInt32LE(payload.length - 4);
  if (size > MAX_KERNEL_BYTES) throw failed(`the payload claims ${size} bytes`);
  let kernel: Buffer;
  try {
    kernel = await decompressPayload(payload, size, decompress);
  } catch (error) {
    throw failed(`the payload does not decompress: ${(error as Error).message}`, error);
  }
  if (!hasPvhNote(kernel)) throw failed('what it holds is not an x86-64 ELF with a PVH entry (CONFIG_PVH)');
  return kernel;
}

async function decompressPayload(payload: Buffer, size: number, decompress: Decompress): Promise<Buffer> {
  const compressed = payload.subarray(0, -4);
  if (payload.readUInt32LE(0) === LZ4_LEGACY_MAGIC) return decodeLz4Legacy(compressed, size);
  if (payload.readUInt16BE(0) === 0x1f8b) {
    // Every start would load it.
    const { gunzipSync } = await import('node:zlib');
    return gunzipSync(payload, { maxOutputLength: MAX_KERNEL_BYTES });
  }
  if (payload.readUInt32BE(0) === 0xfd377a58) return decompress('xz', compressed);
  if (payload.readUInt32BE(0) === 0x28b52ffd) return decompress('zstd', compressed);
  throw new Error(`unknown compression (starts with ${payload.toString('hex', 0, 6)})`);
}

interface SetupHeader {
  readonly setupSectors: number;
  readonly payloadOffset: number;
  readonly payloadLength: number;
}

function setupHeader(file: Buffer): SetupHeader | undefined {
  if (file.length < 0x250 || file.toString('latin1', 0x202, 0x206) !== 'HdrS') return undefined;
  if (file.readUInt16LE(0x206) < 0x0208) return undefined;
  return {
    setupSectors: file[0x1f1] || 4, // 0 means 4, for the oldest loaders' sake
    payloadOffset: file.readUInt32LE(0x248),
    payloadLength: file.readUInt32LE(0x24c),
  };
}

function failed(why: string, cause?: unknown): HyperplugError {
  return new HyperplugError('IMAGE_BUILD_FAILED', `kernel: ${why}`, cause === undefined ? {} : { cause });
}
