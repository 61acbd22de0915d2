import { mkdir } from 'node:fs/promises';
import { HyperplugError } from '../../core/errors.js';
import type { ProgressSink, ProgressTask } from '../../core/progress.js';
import { acquireLock, type FileLock } from '../lock.js';

/** Makes a folder below the cache; what is there may be read by anyone, as a QEMU under another user must. */
export async function makeCacheDir(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new HyperplugError('HOST_PERMISSION', `${path}: cannot be made: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** acquireLock that shows its wait. */
export async function acquireLockTelling(
  path: string,
  purpose: string,
  signal: AbortSignal,
  progress: ProgressSink,
): Promise<FileLock> {
  let waiting: ProgressTask | undefined;
  try {
    const lock = await acquireLock(path, {
      signal,
      purpose,
      onWait: (holder) => {
        const who = holder ? `process ${holder.process.pid}` : 'another process';
        waiting = progress.begin(`waiting for ${who}, which is ${holder?.purpose || 'at it'}`);
      },
    });
    waiting?.done();
    return lock;
  } catch (error) {
    waiting?.fail((error as Error).message);
    throw error;
  }
}
