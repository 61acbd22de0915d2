import { closeSync, constants as fsConstants, openSync } from 'node:fs';
import { chmod, chown } from 'node:fs/promises';
import { constants } from 'node:os';
import koffi from 'koffi';
import { HyperplugError } from '../core/errors.js';

/** Node has no datagram sockets of AF_UNIX. linux/un.h, asm-generic/socket.h: x86-64 and arm64 alike. */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SUN_PATH_BYTES = 108;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int, int, int)');
const bind = libc.func('int bind(int, void *, unsigned int)');
const sendto = libc.func('long sendto(int, void *, unsigned long, int, void *, unsigned int)');
const recv = libc.func('long recv(int, void *, unsigned long, int)');

export interface DatagramOwner {
  readonly uid: number;
  readonly gid: number;
}

/** A bound datagram socket of AF_UNIX (unix(7)). It keeps no process alive by itself. */
export class UnixDatagramSocket {
  readonly #poll: { close(): void };
  #open = true;

  private constructor(
    readonly path: string,
    private readonly fd: number,
    maxBytes: number,
    onMessage: (bytes: Buffer) => void,
  ) {
    const buffer = Buffer.alloc(maxBytes);
    const poll = koffi.node.poll(fd, { readable: true }, () => {
      while (this.#open) {
        const received = Number(recv(fd, buffer, buffer.length, MSG_DONTWAIT));
        if (received < 0) return;
        onMessage(Buffer.from(buffer.subarray(0, received)));
      }
    });
    poll.unref();
    this.#poll = poll;
  }

  /**
   * A socket at `path`, mode 0600, of `owner` if given. What is longer than `maxBytes` is cut.
   * @throws HOST_PERMISSION with the kernel's errno.
   */
  static async bind(
    path: string,
    options: { readonly maxBytes: number; readonly owner?: DatagramOwner | undefined },
    onMessage: (bytes: Buffer) => void,
  ): Promise<UnixDatagramSocket> {
    const flags = SOCK_DGRAM | fsConstants.O_NONBLOCK | SOCK_CLOEXEC;
    const fd = Number(socket(AF_UNIX, flags, 0));
    if (fd < 0) throw refused('socket', path);
    try {
      const address = addressOf(path);
      if (bind(fd, address, address.length) < 0) throw refused('bind', path);
      await chmod(path, 0o600);
      if (options.owner) await chown(path, options.owner.uid, options.owner.gid);
      return new UnixDatagramSocket(path, fd, options.maxBytes, onMessage);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** One that is bound to `path` already, and does not block. */
  static given(path: string, fd: number, maxBytes: number, onMessage: (bytes: Buffer) => void): UnixDatagramSocket {
    return new UnixDatagramSocket(path, fd, maxBytes, onMessage);
  }

  /** False: the peer has no room now. @throws HOST_COMMAND_FAILED with `details.name` (ECONNREFUSED, ENOENT: nobody there). */
  send(path: string, bytes: Uint8Array): boolean {
    const address = addressOf(path);
    const sent = Number(sendto(this.fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length));
    if (sent === bytes.length) return true;
    const { EAGAIN, EINTR, ENOBUFS } = constants.errno;
    const errno = koffi.errno();
    if ([EAGAIN, EINTR, ENOBUFS].includes(errno)) return false;
    throw new HyperplugError('HOST_COMMAND_FAILED', `sendto ${path}: ${nameOf(errno)}`, {
      details: { path, errno, name: nameOf(errno) },
    });
  }

  /** The file stays. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#poll.close();
    closeSync(this.fd);
  }
}

function addressOf(path: string): Buffer {
  const bytes = Buffer.byteLength(path);
  if (bytes >= SUN_PATH_BYTES) {
    throw new TypeError(`socket path: expected fewer than ${SUN_PATH_BYTES} bytes, got ${bytes}: ${path}`);
  }
  const address = Buffer.alloc(2 + bytes + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  return address;
}

function refused(call: string, path: string): HyperplugError {
  const errno = koffi.errno();
  return new HyperplugError('HOST_PERMISSION', `${call} ${path}: ${nameOf(errno)}`, { details: { path, errno } });
}

const nameOf = (errno: number) =>
  Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;

/** A directory held open, to name what lies in it by a short path (`/proc/self/fd/N/NAME`). */
export function holdDirectory(path: string): number {
  return openSync(path, fsConstants.O_RDONLY | fsConstants.O_DIRECTORY);
}
