import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { throwIfAborted } from '../../calls.js';
import { type LogPart, logParts } from './container-logs.js';

const CHUNK_BYTES = 64 * 1024;
/** How far back the last lines are looked for. */
const TAIL_BYTES = 1024 * 1024;
const GROWTH_INTERVAL_MS = 200;

/**
 * A file that others append to, as it is and, with `ended`, as it grows until that resolves. What is not there is empty.
 * @throws ABORTED, HOST_IO
 */
export async function* readLog(
  path: string,
  { tail, signal, ended }: { readonly tail?: number; readonly signal: AbortSignal; readonly ended?: Promise<unknown> },
): AsyncGenerator<Uint8Array> {
  let over = ended === undefined;
  const onEnd = () => {
    over = true;
  };
  ended?.then(onEnd, onEnd);
  let file: FileHandle | undefined;
  try {
    let at: number | undefined;
    for (;;) {
      const last = over;
      file ??= await openIfThere(path);
      if (file) {
        at ??= tail === undefined ? 0 : await tailStart(file, tail);
        for (;;) {
          throwIfAborted(signal, `reading ${path}`);
          const buffer = Buffer.alloc(CHUNK_BYTES);
          const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, at);
          if (bytesRead === 0) break;
          at += bytesRead;
          yield buffer.subarray(0, bytesRead);
        }
      }
      if (last) return;
      throwIfAborted(signal, `following ${path}`);
      await Promise.race([delay(GROWTH_INTERVAL_MS, undefined, { signal }).catch(() => {}), ended]).catch(() => {});
    }
  } finally {
    await file?.close();
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Where the last `lines` lines begin. */
async function tailStart(file: FileHandle, lines: number): Promise<number> {
  const { size } = await file.stat();
  const begin = Math.max(0, size - TAIL_BYTES);
  const buffer = Buffer.alloc(size - begin);
  const { bytesRead } = await file.read(buffer, 0, buffer.length, begin);
  if (lines <= 0) return begin + bytesRead;
  // The end of the last line is not the beginning of another.
  let at = bytesRead - (buffer[bytesRead - 1] === 0x0a ? 1 : 0);
  for (let found = 0; found < lines; found++) {
    at = at <= 0 ? -1 : buffer.lastIndexOf(0x0a, at - 1);
    if (at < 0) return begin;
  }
  return begin + at + 1;
}

/**
 * A container's recorded output, oldest first, and with `ended` what is added until that resolves; parts that gave way to
 * newer ones are left out. `refresh` brings the record up to date, as far as this process can.
 */
export async function* readContainerLog(
  directory: string,
  refresh: () => Promise<void>,
  { tail, signal, ended }: { readonly tail?: number; readonly signal: AbortSignal; readonly ended?: Promise<unknown> },
): AsyncGenerator<Uint8Array> {
  let over = ended === undefined;
  const onEnd = () => {
    over = true;
  };
  ended?.then(onEnd, onEnd);
  await refresh();
  let at = tail === undefined ? undefined : await tailOfParts(await logParts(directory), tail);
  for (;;) {
    const last = over;
    for (const part of await logParts(directory)) {
      const { path, generation, offset } = part;
      const known = at !== undefined && at.generation === generation && offset <= at.offset;
      if (at && (generation < at.generation || (generation === at.generation && !known && offset < at.offset)))
        continue;
      const file = await openIfThere(path);
      if (!file) continue;
      try {
        const { size } = await file.stat();
        // What another part has already told is not told again.
        let position = known ? Math.min((at as LogPosition).offset - offset, size) : 0;
        while (position < size) {
          throwIfAborted(signal, `reading ${path}`);
          const { buffer, bytesRead } = await file.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, position);
          if (bytesRead === 0) break;
          position += bytesRead;
          at = { generation, offset: offset + position };
          yield buffer.subarray(0, bytesRead);
        }
        if (position > 0) at = { generation, offset: offset + position };
      } finally {
        await file.close();
      }
    }
    if (last) return;
    throwIfAborted(signal, `following ${directory}`);
    await Promise.race([delay(GROWTH_INTERVAL_MS, undefined, { signal }).catch(() => {}), ended]).catch(() => {});
    await refresh();
  }
}

interface LogPosition {
  readonly generation: number;
  readonly offset: number;
}

async function tailOfParts(parts: readonly LogPart[], lines: number): Promise<LogPosition | undefined> {
  let left = lines;
  for (const [index, { path, generation, offset }] of [...parts.entries()].reverse()) {
    const file = await openIfThere(path);
    if (!file) continue;
    try {
      const { size } = await file.stat();
      const start = await tailStart(file, left);
      if (start > 0 || index === 0) return { generation, offset: offset + start };
      const text = Buffer.alloc(Math.min(size, TAIL_BYTES));
      await file.read(text, 0, text.length, 0);
      left -= text.filter((byte) => byte === 0x0a).length;
      if (left <= 0) return { generation, offset };
    } finally {
      await file.close();
    }
  }
  return undefined;
}
