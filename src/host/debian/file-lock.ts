import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { abortError, throwIfAborted } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';

export interface FileLock {
  /** Idempotent. */
  release(): void;
}

/**
 * An exclusive flock(2) on `path`, which is made if missing and never removed. The kernel drops it when this process
 * ends, however it ends. flock(1) takes it on a descriptor that is shared with us, so that the wait blocks no thread.
 * @param onWait called once when another process holds it.
 * @throws ABORTED, TIMEOUT; HOST_TOOL_MISSING without flock(1), which is part of util-linux; HOST_PERMISSION.
 */
export async function lockFile(path: string, signal: AbortSignal, onWait: () => void): Promise<FileLock> {
  throwIfAborted(signal, `lock ${path}`);
  let fd: number;
  try {
    mkdirSync(dirname(path), { recursive: true });
    fd = openSync(path, 'a', 0o644);
  } catch (error) {
    throw new HyperplugError('HOST_PERMISSION', `${path}: cannot be written: ${(error as Error).message}`, {
      cause: error,
    });
  }
  try {
    if (!(await flock(['-n'], fd, signal))) {
      onWait();
      if (!(await flock([], fd, signal))) throw new HyperplugError('HOST_COMMAND_FAILED', `flock ${path}: failed`);
    }
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  let held = true;
  return {
    release: () => {
      if (held) closeSync(fd);
      held = false;
    },
  };
}

function flock(flags: readonly string[], fd: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', ['-x', ...flags, '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] });
    const onAbort = () => child.kill('SIGKILL');
    signal.addEventListener('abort', onAbort, { once: true });
    const settled = () => signal.removeEventListener('abort', onAbort);
    child.once('error', (error) => {
      settled();
      reject(new HyperplugError('HOST_TOOL_MISSING', 'flock: not found; it is part of util-linux', { cause: error }));
    });
    child.once('exit', (code) => {
      settled();
      if (signal.aborted) reject(abortError(signal, 'waiting for a lock'));
      else resolve(code === 0);
    });
  });
}
