import { open, stat } from 'node:fs/promises';

const LIMIT = 2048;

/** What the guest of one boot has written: boots of a pod share a file. */
export interface ConsoleLog {
  readonly path: string;
  /** Bytes that were there before. */
  readonly start: number;
}

/** Of the next boot. */
export async function consoleLogFrom(path: string): Promise<ConsoleLog> {
  const found = await stat(path).catch(() => undefined);
  return { path, start: found?.size ?? 0 };
}

/** The end of a console log, for error messages: printable ASCII and line ends, since the guest wrote it. */
export async function consoleTail({ path, start }: ConsoleLog): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      // One that is shorter than it was has been begun anew.
      const buffer = Buffer.alloc(Math.min(size >= start ? size - start : size, LIMIT));
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
