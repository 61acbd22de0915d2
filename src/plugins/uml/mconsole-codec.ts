import { HyperplugError } from '../../core/errors.js';

/** arch/um/drivers/mconsole.h; native byte order, and there is no big-endian UML. */
const MAGIC = 0xcafebabe;
const VERSION = 2;
/** MCONSOLE_MAX_DATA: of a request with its terminating zero, and of one reply. */
const MAX_DATA_BYTES = 512;
const REQUEST_HEADER_BYTES = 12;
const REPLY_HEADER_BYTES = 12;
const NOTIFY_HEADER_BYTES = 16;
export const MAX_DATAGRAM_BYTES = NOTIFY_HEADER_BYTES + MAX_DATA_BYTES;

export function encodeRequest(command: string): Buffer {
  const data = Buffer.from(command, 'latin1');
  if (data.length >= MAX_DATA_BYTES) {
    throw new TypeError(`mconsole: expected a command of fewer than ${MAX_DATA_BYTES} bytes, got ${data.length}`);
  }
  const bytes = Buffer.alloc(REQUEST_HEADER_BYTES + data.length);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt32LE(VERSION, 4);
  bytes.writeUInt32LE(data.length, 8);
  data.copy(bytes, REQUEST_HEADER_BYTES);
  return bytes;
}

export interface Reply {
  /** 0; else 1 or a negative errno. */
  readonly error: number;
  /** Another part follows. */
  readonly more: boolean;
  readonly text: string;
}

/** @throws MCONSOLE_PROTOCOL. */
export function decodeReply(bytes: Buffer): Reply {
  if (bytes.length < REPLY_HEADER_BYTES) throw malformed('reply', bytes);
  const length = bytes.readUInt32LE(8);
  if (length > bytes.length - REPLY_HEADER_BYTES) throw malformed('reply', bytes);
  return {
    error: bytes.readInt32LE(0),
    more: bytes.readUInt32LE(4) !== 0,
    text: text(bytes.subarray(REPLY_HEADER_BYTES, REPLY_HEADER_BYTES + length)),
  };
}

/** enum of mconsole.h: the socket is ready (its path), the kernel panicked, it hangs, something wrote to /proc/mconsole. */
export type NotificationType = 'socket' | 'panic' | 'hang' | 'message';
const NOTIFICATIONS: readonly NotificationType[] = ['socket', 'panic', 'hang', 'message'];

export interface Notification {
  readonly type: NotificationType;
  readonly text: string;
}

/** undefined: none that is known. What the guest writes can be anything, and is cut by the kernel. */
export function decodeNotification(bytes: Buffer): Notification | undefined {
  if (bytes.length < NOTIFY_HEADER_BYTES || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  const type = NOTIFICATIONS[bytes.readUInt32LE(8)];
  const length = bytes.readUInt32LE(12);
  if (type === undefined || length > bytes.length - NOTIFY_HEADER_BYTES) return undefined;
  return { type, text: text(bytes.subarray(NOTIFY_HEADER_BYTES, NOTIFY_HEADER_BYTES + length)) };
}

function text(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}

function malformed(what: string, bytes: Buffer): HyperplugError {
  return new HyperplugError('MCONSOLE_PROTOCOL', `mconsole: a ${what} of ${bytes.length} bytes that is none`);
}
