import { fstatSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileKey } from './open-files.js';

/** linux/fcntl.h */
const F_SETFD = 2;
const FD_CLOEXEC = 1;

/**
 * What this process starts from now on does not inherit its descriptors of the file at `path` (fcntl(2)), for libraries that
 * leave them to be inherited. Nothing is opened or closed.
 */
export function closeOnExec(path: string): void {
  const file = fileKey(statSync(path));
  const set = closer();
  for (const fd of readdirSync('/proc/self/fd').map(Number)) if (keyOf(fd) === file) set(fd);
}

/** The same of descriptors that this process was started with. @throws TypeError one of them is not open. */
export function closeGivenOnExec(fds: readonly number[]): void {
  const set = closer();
  for (const fd of fds) if (!set(fd)) throw new TypeError(`descriptor ${fd} is not open`);
}

function closer(): (fd: number) => boolean {
  const koffi = createRequire(import.meta.url)('koffi');
  const fcntl = koffi.load(null).func('int fcntl(int fd, int command, ...)');
  return (fd) => fcntl(fd, F_SETFD, 'int', FD_CLOEXEC) === 0;
}

function keyOf(fd: number): string | undefined {
  try {
    return fileKey(fstatSync(fd));
  } catch {
    // That of the listing itself is closed by now.
    return undefined;
  }
}
