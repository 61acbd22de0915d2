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
  const koffi = createRequire(import.meta.url)('koffi');
  const fcntl = koffi.load(null).func('int fcntl(int fd, int command, ...)');
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    if (keyOf(fd) === file) fcntl(fd, F_SETFD, 'int', FD_CLOEXEC);
  }
}

function keyOf(fd: number): string | undefined {
  try {
    return fileKey(fstatSync(fd));
  } catch {
    // That of the listing itself is closed by now.
    return undefined;
  }
}
