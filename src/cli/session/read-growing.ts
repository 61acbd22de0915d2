import { watch } from 'node:fs';
import { open } from 'node:fs/promises';
import { HyperplugError } from '../../core/errors.js';

const CHUNK_BYTES = 64 * 1024;

/**
 * A file's bytes, and those that are appended until `ended` fires; then what is there to its end. Woken by inotify.
 * `abort` ends it with its reason.
 */
export async function* readGrowing(path: string, ended: AbortSignal, abort: AbortSignal): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw new HyperplugError('HOST_PERMISSION', `cannot read the console log ${path}`, { cause: error });
  });
  let wake = () => {};
  let changed = true;
  const notice = () => {
    changed = true;
    wake();
  };
  try {
    const watcher = ended.aborted ? undefined : watch(path, notice).on('error', notice);
    ended.addEventListener('abort', notice);
    abort.addEventListener('abort', notice);
    try {
      for (;;) {
        if (abort.aborted) throw abort.reason;
        const last = ended.aborted;
        changed = false;
        for (;;) {
          const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, null);
          if (bytesRead === 0) break;
          yield buffer.subarray(0, bytesRead);
          if (abort.aborted) throw abort.reason;
        }
        if (last) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (changed) resolve();
        });
      }
    } finally {
      watcher?.close();
      ended.removeEventListener('abort', notice);
      abort.removeEventListener('abort', notice);
    }
  } finally {
    await file.close();
  }
}
