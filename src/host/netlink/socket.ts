import { closeSync, readSync, write } from 'node:fs';
import { endianness } from 'node:os';
import koffi from 'koffi';
import { abortError, type CallOptions, throwIfAborted } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import { inNetworkNamespace } from '../netns.js';
import { decodeAttributes, padding } from './codec/attributes.js';
import { decodeMessages, encodeMessage, type Message, NLM_F, NLMSG, type Request } from './codec/messages.js';
import { EXTENDED_ACK } from './codec/tables.js';
import { kernelError } from './errno.js';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC_NONBLOCK = 3 | 0o2000000 | 0o4000;
const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;
const SOL_NETLINK = 270;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
/** linux/netlink.h; the kernel then says why, caps what it echoes, and checks dump requests. */
const OPTIONS = { CAP_ACK: 10, EXT_ACK: 11, GET_STRICT_CHK: 12 } as const;
const ADD_MEMBERSHIP = 1;

const RECEIVE_BYTES = 256 * 1024;
const RCVBUF_BYTES = 4 * 1024 * 1024;
const INTERRUPTED_DUMP_TRIES = 10;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const setsockopt = libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)');
const bind = libc.func('int bind(int fd, const void *address, uint32_t length)');

/** @throws HOST_PERMISSION. The descriptor is non-blocking and close-on-exec; groups are RTNLGRP_* numbers. */
export function openNetlink(
  netnsPath: string | undefined,
  groups: readonly number[] = [],
  protocol: number = NETLINK_ROUTE,
): number {
  if (endianness() !== 'LE')
    throw new HyperplugError('NOT_SUPPORTED', 'netlink: this codec is for little-endian machines');
  const fd: number = inNetworkNamespace(netnsPath, () => {
    const opened: number = socket(AF_NETLINK, SOCK_RAW_CLOEXEC_NONBLOCK, protocol);
    if (opened < 0) throw systemError('socket(AF_NETLINK)');
    return opened;
  });
  try {
    for (const option of Object.values(OPTIONS)) set(fd, SOL_NETLINK, option, 1);
    set(fd, SOL_SOCKET, SO_RCVBUF, RCVBUF_BYTES);
    const address = Buffer.alloc(12);
    address.writeUInt16LE(AF_NETLINK, 0);
    if (bind(fd, address, address.length) !== 0) throw systemError('bind(AF_NETLINK)');
    for (const group of groups) set(fd, SOL_NETLINK, ADD_MEMBERSHIP, group);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Beyond the system's limits, for root; what others get is as much as these allow. */
export function setBufferBytes(fd: number, bytes: number): void {
  for (const option of [SO_SNDBUF, SO_RCVBUF, SO_SNDBUFFORCE, SO_RCVBUFFORCE]) {
    const value = Buffer.alloc(4);
    value.writeInt32LE(bytes);
    setsockopt(fd, SOL_SOCKET, option, value, 4);
  }
}

/**
 * One netlink socket, one request at a time. The kernel does the work inside send(), which therefore runs on a pool
 * thread; the answer is queued when it returns and is read without waiting.
 */
export class NetlinkSocket {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(RECEIVE_BYTES);
  #sequence = 0;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(netnsPath?: string, protocol?: number) {
    this.#fd = openNetlink(netnsPath, [], protocol);
  }

  /**
   * Sends a request and returns what it answered (nothing, for a plain acknowledgement).
   * @throws NET_KERNEL_REFUSED with errno and the kernel's words. Once sent it is not cut short: an abort is honoured
   * before sending only, since afterwards the kernel has done it.
   */
  async request(what: string, request: Request, options: CallOptions): Promise<Message[]> {
    const [answer] = await this.requests(what, [request], options);
    if (answer instanceof HyperplugError) throw answer;
    return answer ?? [];
  }

  /**
   * Several requests in one message to the kernel, which carries out each in turn, whatever became of those before it.
   * Each must ask for an acknowledgement.
   * @returns for each what it answered, or how it was refused.
   */
  requests(
    what: string,
    requests: readonly Request[],
    { signal }: CallOptions,
  ): Promise<readonly (Message[] | HyperplugError)[]> {
    const run = async () => {
      throwIfAborted(signal, what);
      if (this.#closed) throw new HyperplugError('ABORTED', `${what}: the netlink socket is closed`);
      return this.#exchange(what, requests);
    };
    const result = this.#last.then(run, run);
    this.#last = result.catch(() => {});
    return result;
  }

  /** A dump, repeated while the kernel says that it was interrupted by a change. */
  async dump(what: string, request: Omit<Request, 'flags'>, options: CallOptions): Promise<Message[]> {
    for (let tries = 0; tries < INTERRUPTED_DUMP_TRIES; tries++) {
      const messages = await this.request(what, { ...request, flags: NLM_F.REQUEST | NLM_F.DUMP }, options);
      if (!messages.some((message) => message.flags & NLM_F.DUMP_INTR))
        return messages.filter((message) => message.type >= 16);
      if (options.signal.aborted) throw abortError(options.signal, what);
    }
    throw new HyperplugError('NET_KERNEL_REFUSED', `${what}: the dump was interrupted ${INTERRUPTED_DUMP_TRIES} times`);
  }

  /** After what is under way. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last;
    closeSync(this.#fd);
  }

  async #exchange(what: string, requests: readonly Request[]): Promise<(Message[] | HyperplugError)[]> {
    const pending = new Map<number, number>();
    const messages = requests.map((request, index) => {
      this.#sequence = (this.#sequence + 1) >>> 0 || 1;
      pending.set(this.#sequence, index);
      return encodeMessage(request, this.#sequence);
    });
    const bytes = messages.length === 1 ? (messages[0] as Buffer) : Buffer.concat(messages.flatMap(padded));
    await new Promise<void>((resolve, reject) => {
      write(this.#fd, bytes, 0, bytes.length, null, (error) => (error ? reject(error) : resolve()));
    });
    const answers: (Message[] | HyperplugError)[] = requests.map(() => []);
    while (pending.size > 0) {
      for (const message of this.#receive(what)) {
        const index = pending.get(message.sequence);
        // Left over from a request whose reader gave up.
        if (index === undefined) continue;
        if (message.type === NLMSG.ERROR) {
          const errno = -message.raw.readInt32LE(0);
          if (errno !== 0) answers[index] = kernelError(what, errno, extendedAck(message));
          pending.delete(message.sequence);
          continue;
        }
        (answers[index] as Message[]).push(message);
        if (message.type === NLMSG.DONE) {
          const errno = message.raw.length >= 4 ? -message.raw.readInt32LE(0) : 0;
          if (errno > 0) answers[index] = kernelError(what, errno, undefined);
          pending.delete(message.sequence);
        }
      }
    }
    return answers;
  }

  #receive(what: string): Message[] {
    try {
      const length = readSync(this.#fd, this.#buffer, 0, this.#buffer.length, null);
      return decodeMessages(this.#buffer.subarray(0, length));
    } catch (cause) {
      throw new HyperplugError(
        'NET_KERNEL_REFUSED',
        `${what}: no answer to a netlink request: ${(cause as Error).message}`,
        { cause },
      );
    }
  }
}

const padded = (bytes: Buffer): Buffer[] => [bytes, Buffer.alloc(padding(bytes.length))];

/** The kernel's words: attributes behind the capped echo of our header (NETLINK_CAP_ACK). */
function extendedAck(message: Message): string | undefined {
  if ((message.flags & NLM_F.ACK_TLVS) === 0) return undefined;
  const echoed = message.flags & NLM_F.CAPPED ? 16 : message.raw.readUInt32LE(4);
  const text = decodeAttributes(message.raw.subarray(4 + echoed), EXTENDED_ACK).message;
  return typeof text === 'string' ? text : undefined;
}

function set(fd: number, level: number, name: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  if (setsockopt(fd, level, name, bytes, 4) !== 0) throw systemError(`setsockopt(${level}, ${name})`);
}

function systemError(call: string): HyperplugError {
  return new HyperplugError('HOST_PERMISSION', `${call}: errno ${koffi.errno()}`);
}
