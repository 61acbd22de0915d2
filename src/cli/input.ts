import { readFile } from 'node:fs/promises';
import { explainSystemError } from '../core/system-error.js';
import type { Io } from './deps.js';
import { usageError } from './errors.js';

/** Of a file that people write. */
const MAX_TEXT_BYTES = 16 * 1024 * 1024;

/** A whole file; `-` is standard input. @throws HOST_IO, CLI_USAGE */
export async function readText(io: Io, file: string): Promise<string> {
  if (file !== '-') {
    return readFile(file, 'utf8').catch((error: unknown) => {
      throw explainSystemError(error, file);
    });
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of io.stdin() as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_TEXT_BYTES) throw usageError(`standard input: expected at most ${MAX_TEXT_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
