import { closeSync, readSync, write, writeSync } from 'node:fs';
import { endianness } from 'node:os';
import koffi from 'koffi';
import { abortError, type CallOptions, throwIfAborted } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import { inNetworkNamespace } from '../netns.js';
import { type AttributeTable, decodeAttributes } from './codec/attributes.js';
import { ByteWriter } from './codec/byte-writer.js';
import { decodeMessages, type Message, NLM_F, NLMSG, type Request, writeMessage } from './codec/messages.js';
import { EXTENDED_ACK } from './codec/tables.js';
import { kernelError } from './errno.js';
import { KernelPace } from './pace.js';

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

/** rtnetlink has one lock for the whole machine: who is kept waiting on one socket is on every other. */
const pace = new KernelPace();

export interface RequestOptions extends CallOptions {
  /**
   * The kernel has nothing to wait for but its own lock (no deletion, no list), so it is asked on the event loop, where that
   * takes a fraction of a way through the thread pool; unless others keep that lock just now.
   */
  readonly brief?: boolean;
  /** Which attributes of the answers are looked at; default: all that are known. A link has some fifty. */
  readonly shown?: AttributeTable;
}

/**
 * One netlink socket, one request at a time. The kernel does the work inside send(), which therefore runs on a pool
 * thread, but for brief requests; the answer is queued when it returns and is read without waiting.
 */
export class NetlinkSocket {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(RECEIVE_BYTES);
  readonly #writer = new ByteWriter();
  #sequence = 0;
  #last: Promise<unknown> = Promise.resolve();
  /** Requests that are on their way through the pool, or wait for those that are. */
  #pending = 0;
  #closed = false;

  constructor(netnsPath?: string, protocol?: number) {
    this.#fd = openNetlink(netnsPath, [], protocol);
  }

  /**
   * Sends a request and returns what it answered (nothing, for a plain acknowledgement).
   * @throws NET_KERNEL_REFUSED with errno and the kernel's words. Once sent it is not cut short: an abort is honoured
   * before sending only, since afterwards the kernel has done it.
   */
  async request(what: string, request: Request, options: RequestOptions): Promise<Message[]> {
    const [answer] = await this.requests(what, [request], options);
    if (answer instanceof HyperplugError) throw answer;
    return answer ?? [];
  }

  /**
   * Several requests in one message to the kernel, which carries out each in turn, whatever became of those before it. The
   * last has to be one that is answered if it succeeds: NLM_F.ACK, a dump, or a look at one object; the others need not,
   * where that last one shows what they did. What fails is always answered.
   * @returns for each what it answered, or how it was refused.
   */
  async requests(
    what: string,
    requests: readonly Request[],
    { signal, brief = false, shown }: RequestOptions,
  ): Promise<readonly (Message[] | HyperplugError)[]> {
    const begin = () => {
      throwIfAborted(signal, what);
      if (this.#closed) throw new HyperplugError('ABORTED', `${what}: the netlink socket is closed`);
      return this.#encode(requests);
    };
    if (brief && this.#pending === 0 && pace.isQuick) {
      const first = begin();
      pace.measured(() => writeSync(this.#fd, this.#writer.bytes));
      return this.#answers(what, requests, first, shown);
    }
    const run = async () => {
      const first = begin();
      const { bytes } = this.#writer;
      await new Promise<void>((resolve, reject) => {
        write(this.#fd, bytes, 0, bytes.length, null, (error) => (error ? reject(error) : resolve()));
      });
      return this.#answers(what, requests, first, shown);
    };
    this.#pending++;
    const result = this.#last.then(run, run).finally(() => this.#pending--);
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

  /** Into the writer. @returns the sequence number of the first. */
  #encode(requests: readonly Request[]): number {
    // Of one batch they follow one another.
    if (this.#sequence + requests.length > 0xffff_ffff) this.#sequence = 0;
    const first = this.#sequence + 1;
    this.#writer.clear();
    for (const request of requests) writeMessage(this.#writer, request, ++this.#sequence);
    return first;
  }

  /** The kernel answers in the order of the requests. */
  #answers(
    what: string,
    requests: readonly Request[],
    first: number,
    shown: AttributeTable | undefined,
  ): (Message[] | HyperplugError)[] {
    const answers: (Message[] | HyperplugError)[] = requests.map(() => []);
    const last = requests.length - 1;
    const untilEnd = ((requests[last] as Request).flags & (NLM_F.ACK | NLM_F.DUMP)) !== 0;
    for (let done = false; !done; ) {
      for (const message of this.#receive(what, shown)) {
        const index = message.sequence - first;
        // Left over from a request whose reader gave up.
        if (index < 0 || index > last) continue;
        const errno = errnoOf(message);
        if (errno === undefined || message.type === NLMSG.DONE) (answers[index] as Message[]).push(message);
        if (errno) answers[index] = kernelError(what, errno, extendedAck(message));
        done ||= index === last && (errno !== undefined || !untilEnd);
      }
    }
    return answers;
  }

  #receive(what: string, shown: AttributeTable | undefined): Message[] {
    try {
      const length = readSync(this.#fd, this.#buffer, 0, this.#buffer.length, null);
      return decodeMessages(this.#buffer.subarray(0, length), shown);
    } catch (cause) {
      throw new HyperplugError(
        'NET_KERNEL_REFUSED',
        `${what}: no answer to a netlink request: ${(cause as Error).message}`,
        { cause },
      );
    }
  }
}

/** 0: it is done; undefined: there is more to come. */
function errnoOf({ type, raw }: Message): number | undefined {
  if (type === NLMSG.ERROR) return -raw.readInt32LE(0);
  if (type !== NLMSG.DONE) return undefined;
  return raw.length >= 4 ? Math.max(0, -raw.readInt32LE(0)) : 0;
}

/** The kernel's words: attributes behind the capped echo of our header (NETLINK_CAP_ACK). */
function extendedAck(message: Message): string | undefined {
  if (message.type !== NLMSG.ERROR) return undefined;
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
