import { closeSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { HyperplugError } from '../core/errors.js';

const CLONE_NEWNET = 0x40000000;

const libc = koffi.load('libc.so.6');
const setns = libc.func('int setns(int fd, int nstype)');

/**
 * Runs `body` with the main thread inside the network namespace at `path`, undefined: this one. Synchronous on purpose:
 * setns(2) is per thread, and what is opened meanwhile (sockets, /dev/net/tun) stays in that namespace. Nothing that uses
 * the thread pool may be started in `body`, for a pool thread born there stays there.
 * @throws HOST_PERMISSION the namespace cannot be opened or entered.
 */
export function inNetworkNamespace<T>(path: string | undefined, body: () => T): T {
  if (path === undefined) return body();
  const home = openSync('/proc/thread-self/ns/net', 'r');
  try {
    const target = openNamespace(path);
    try {
      enter(target, path);
    } finally {
      closeSync(target);
    }
    try {
      return body();
    } finally {
      // Work in the wrong namespace would be worse than no work at all.
      if (setns(home, CLONE_NEWNET) !== 0) process.abort();
    }
  } finally {
    closeSync(home);
  }
}

/** A descriptor of it. @throws HOST_PERMISSION. */
export function openNamespace(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    throw new HyperplugError(
      'HOST_PERMISSION',
      `network namespace ${path} cannot be opened: ${(cause as Error).message}`,
      { cause },
    );
  }
}

function enter(fd: number, path: string): void {
  if (setns(fd, CLONE_NEWNET) === 0) return;
  const errno = koffi.errno();
  throw new HyperplugError('HOST_PERMISSION', `network namespace ${path} cannot be entered: errno ${errno}`, {
    details: { path, errno },
  });
}
