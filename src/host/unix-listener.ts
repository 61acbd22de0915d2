import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { HyperplugError } from '../core/errors.js';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
/** sun_path of unix(7), less its terminating zero. */
const MAX_PATH_BYTES = 107;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const bind = libc.func('int bind(int fd, const void *address, uint32_t length)');
const listen = libc.func('int listen(int fd, int backlog)');

/**
 * A descriptor that listens at `path`, for a program to inherit; the caller closes it. (A net.Server would accept the
 * connections itself, and remove the path when it is closed.)
 * @throws HOST_IO the kernel refused; TypeError a path that is too long.
 */
export function listenUnix(path: string): number {
  const name = Buffer.from(`${path}\0`);
  if (name.length > MAX_PATH_BYTES + 1)
    throw new TypeError(`path: expected at most ${MAX_PATH_BYTES} bytes, got ${path}`);
  const address = Buffer.concat([Buffer.from([AF_UNIX, 0]), name]);
  const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && bind(fd, address, address.length) === 0 && listen(fd, 1) === 0) return fd;
  const errno = koffi.errno();
  if (fd >= 0) closeSync(fd);
  throw new HyperplugError('HOST_IO', `${path}: cannot be listened at: errno ${errno}`, { details: { path, errno } });
}
