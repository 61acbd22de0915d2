import type { Socket } from 'node:net';
import { constants } from 'node:os';
import koffi from 'koffi';
import { type CallOptions, raceSignal, throwIfAborted } from '../core/calls.js';
import { HyperplugError } from '../core/errors.js';

/** include/linux/socket.h, x86-64 and arm64 alike. */
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** SCM_MAX_FD of net/scm.h. */
const MAX_FDS = 253;
const CMSG_HEADER_BYTES = 16;

// Without names: two copies of this package may meet in one process, and koffi's names are the process's.
const iovec = koffi.struct({ base: 'void *', length: 'size_t' });
const msghdr = koffi.struct({
  name: 'void *',
  namelen: 'uint32_t',
  iov: koffi.pointer(iovec),
  iovlen: 'size_t',
  control: 'void *',
  controllen: 'size_t',
  flags: 'int',
});
const libc = koffi.load('libc.so.6');
const sendmsg = libc.func('sendmsg', 'long', ['int', koffi.pointer(msghdr), 'int']);

/**
 * Writes `bytes` to a unix stream socket with descriptors beside the first of them (SCM_RIGHTS of unix(7)). The receiver
 * has its own copies when this resolves: ours may be closed. What was written before it goes first.
 * @param filler a byte that the peer passes over; written while the kernel has no room, to be woken when it has.
 * @throws HOST_COMMAND_FAILED the kernel refused; TIMEOUT, ABORTED. Nothing was sent then.
 */
export async function sendWithFds(
  socket: Socket,
  bytes: Uint8Array,
  fds: readonly number[],
  filler: string,
  { signal }: CallOptions,
): Promise<void> {
  if (fds.length === 0 || fds.length > MAX_FDS) throw new TypeError(`fds: expected 1 to ${MAX_FDS}, got ${fds.length}`);
  for (;;) {
    throwIfAborted(signal, 'sending descriptors');
    if (socket.writableLength === 0) {
      const sent = sendNow(descriptorOf(socket), bytes, fds);
      if (sent === bytes.length) return;
      if (sent > 0) {
        // They went with the first byte; the rest is ordinary.
        socket.write(bytes.subarray(sent));
        return;
      }
    }
    await written(socket, filler, signal);
  }
}

/** Bytes taken by the kernel; 0: it has no room now. */
function sendNow(fd: number, bytes: Uint8Array, fds: readonly number[]): number {
  const control = Buffer.alloc(CMSG_HEADER_BYTES + Math.ceil((4 * fds.length) / 8) * 8);
  control.writeBigUInt64LE(BigInt(CMSG_HEADER_BYTES + 4 * fds.length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  for (const [index, each] of fds.entries()) control.writeInt32LE(each, CMSG_HEADER_BYTES + 4 * index);
  const message = {
    name: null,
    namelen: 0,
    iov: [{ base: bytes, length: bytes.length }],
    iovlen: 1,
    control,
    controllen: control.length,
    flags: 0,
  };
  const sent = Number(sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL));
  if (sent >= 0) return sent;
  const errno = koffi.errno();
  const { EAGAIN, EINTR } = constants.errno;
  if (errno === EAGAIN || errno === EINTR) return 0;
  const name = Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
  throw new HyperplugError('HOST_COMMAND_FAILED', `sendmsg with ${fds.length} descriptors: ${name}`, {
    details: { errno, name },
  });
}

const closed = (cause?: Error) =>
  new HyperplugError('HOST_COMMAND_FAILED', 'sendmsg: the socket is closed', { cause, details: { name: 'EPIPE' } });

function written(socket: Socket, bytes: string, signal: AbortSignal): Promise<void> {
  const done = new Promise<void>((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(closed(error)) : resolve()));
  });
  return raceSignal(done, signal, 'sending descriptors');
}

/** Node has no public way to ask a socket for its descriptor; libuv's handle has told it since Node 0.6. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: unknown } | null };
  if (typeof handle?.fd === 'number' && handle.fd >= 0) return handle.fd;
  throw closed();
}
