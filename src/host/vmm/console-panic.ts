import { open } from 'node:fs/promises';

const PANIC_TAIL_BYTES = 16 * 1024;

/**
 * Whether the end of the console says that the guest's kernel panicked: not every kernel has a driver for pvpanic. `from`:
 * size of the log when the VM began. A guest that prints this itself only speaks ill of itself.
 */
export async function consoleTellsPanic(path: string, from: number): Promise<boolean> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const start = Math.max(from, size - PANIC_TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(PANIC_TAIL_BYTES), 0, PANIC_TAIL_BYTES, start);
    return buffer.subarray(0, bytesRead).includes('Kernel panic - not syncing');
  } catch {
    return false;
  }
}
