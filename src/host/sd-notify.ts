import koffi from 'koffi';

/** sys/socket.h */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const MSG_NOSIGNAL = 0x4000;
/** fcntl.h */
const F_SETFD = 2;
const FD_CLOEXEC = 1;
/** sizeof(sun_path), unix(7). */
const MAX_PATH_BYTES = 108;
/** SD_LISTEN_FDS_START, sd_listen_fds(3). */
const FIRST_LISTEN_FD = 3;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const sendto = libc.func(
  'long sendto(int fd, const void *data, size_t length, int flags, const void *address, uint size)',
);
const close = libc.func('int close(int fd)');
const fcntl = libc.func('int fcntl(int fd, int command, int value)');

/**
 * sd_notify(3): `READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=…`, one per line. False: no service manager listens. Node has
 * no datagram sockets of AF_UNIX, so that this is libc's.
 */
export function sdNotify(state: string, path: string | undefined = process.env.NOTIFY_SOCKET): boolean {
  if (path === undefined || !/^[/@]./.test(path)) return false;
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : path);
  if (name.length > MAX_PATH_BYTES) return false;
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  const fd: number = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  try {
    const data = Buffer.from(state);
    return Number(sendto(fd, data, data.length, MSG_NOSIGNAL, address, address.length)) === data.length;
  } finally {
    close(fd);
  }
}

/**
 * sd_listen_fds(3): the sockets that the service manager has opened for this very process. The variables are taken out of the
 * environment, and what this process starts does not inherit the sockets.
 */
export function takeListenFds(env: NodeJS.ProcessEnv = process.env): readonly number[] {
  const { LISTEN_PID, LISTEN_FDS } = env;
  if (Number(LISTEN_PID) !== process.pid) return [];
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
  const count = /^\d{1,3}$/.test(LISTEN_FDS ?? '') ? Number(LISTEN_FDS) : 0;
  const fds = Array.from({ length: count }, (_, index) => FIRST_LISTEN_FD + index);
  for (const fd of fds) fcntl(fd, F_SETFD, FD_CLOEXEC);
  return fds;
}

/** How often WATCHDOG=1 is expected, sd_watchdog_enabled(3), milliseconds; undefined: it is not. */
export function watchdogMs(env: NodeJS.ProcessEnv = process.env): number | undefined {
  const { WATCHDOG_USEC, WATCHDOG_PID } = env;
  if (WATCHDOG_PID !== undefined && Number(WATCHDOG_PID) !== process.pid) return undefined;
  const microseconds = Number(WATCHDOG_USEC);
  return microseconds > 0 ? microseconds / 1000 : undefined;
}
