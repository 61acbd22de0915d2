import { open } from 'node:fs/promises';

const LIMIT = 2048;

/** The end of a console log, for error messages: printable ASCII and line ends, since the guest wrote it. */
export async function consoleTail(path: string): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const buffer = Buffer.alloc(Math.min(size, LIMIT));
      await file.read(buffer, 0, buffer.length, size - buffer.length);
      return buffer
        .toString('latin1')
        .replace(/\r/g, '')
        .replace(/[^\n\x20-\x7e]/g, '?')
        .trimEnd();
    } finally {
      await file.close();
    }
  } catch {
    return '';
  }
}
