import { HyperplugError } from '../../core/errors.js';

/**
 * What goes over an upgraded connection (`Upgrade: hyperplug-exec/1`), both ways: type (u8), length of the payload
 * (u32, big-endian), payload. Data goes as it is, the rest is JSON.
 */
export const FRAME = {
  // from the client
  /** First, once: ExecStart. */
  start: 1,
  stdin: 2,
  /** End of file. */
  stdinEnd: 3,
  /** `{ id, signal }`, answered by its id. */
  signal: 4,
  /** `{ id, rows, columns }`, answered by its id. */
  resize: 5,
  /** `{ stream: "stdout" | "stderr", bytes }`: so many more may be sent. */
  credit: 6,
  // from the daemon
  /** `{ id }`: it runs. */
  started: 17,
  stdout: 18,
  stderr: 19,
  /** `{ stream, error? }`: nothing more comes. */
  outputEnd: 20,
  /** `{ bytes }` of standard input that the guest has taken. */
  stdinCredit: 21,
  /** `{ error }`: the guest takes no more input. */
  stdinClosed: 22,
  /** `{ id, error? }` */
  answer: 23,
  /** `{ exitCode, signal? }`; output may still come. */
  exit: 24,
  /** `{ error }` instead of `started` or `exit`. */
  failed: 25,
} as const;

export const EXEC_PROTOCOL = 'hyperplug-exec/1';
/** How much of each stream is under way, not yet taken by its reader. */
export const WINDOW_BYTES = 256 * 1024;
export const MAX_DATA_BYTES = 64 * 1024;
/** A command with its environment; Linux takes 128 KiB for one string and by default 2 MiB for all. */
export const MAX_JSON_BYTES = 2 * 1024 * 1024;
const HEADER_BYTES = 5;

export interface Frame {
  readonly type: number;
  readonly payload: Buffer;
}

export function dataFrame(type: number, payload: Uint8Array): [Buffer, Uint8Array] {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  header.writeUInt8(type, 0);
  header.writeUInt32BE(payload.length, 1);
  return [header, payload];
}

export function jsonFrame(type: number, value: unknown): Buffer {
  return Buffer.concat(dataFrame(type, Buffer.from(JSON.stringify(value))));
}

/** @throws API_REQUEST_INVALID the payload is no JSON object. */
export function frameJson({ type, payload }: Frame): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch (cause) {
    throw malformed(`frame ${type}: expected JSON, got ${(cause as Error).message}`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw malformed(`frame ${type}: expected a JSON object`);
}

export function malformed(message: string): HyperplugError {
  return new HyperplugError('API_REQUEST_INVALID', message);
}

/** Cuts a stream of bytes into frames. What it holds back is bounded by the length that a frame may have. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(private readonly maxPayloadBytes: (type: number) => number) {}

  /** The frames that are whole now. @throws API_REQUEST_INVALID a frame is larger than its type may be. */
  *push(chunk: Buffer): Generator<Frame> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= HEADER_BYTES) {
      const header = this.#peek(HEADER_BYTES);
      const type = header.readUInt8(0);
      const length = header.readUInt32BE(1);
      if (length > this.maxPayloadBytes(type)) {
        throw malformed(`frame ${type}: expected at most ${this.maxPayloadBytes(type)} bytes, got ${length}`);
      }
      if (this.#bytes < HEADER_BYTES + length) return;
      const whole = this.#peek(HEADER_BYTES + length);
      this.#chunks[0] = whole.subarray(HEADER_BYTES + length);
      this.#bytes -= HEADER_BYTES + length;
      if (this.#chunks[0].length === 0) this.#chunks.shift();
      yield { type, payload: whole.subarray(HEADER_BYTES, HEADER_BYTES + length) };
    }
  }

  /** The first chunk, made at least so long. */
  #peek(bytes: number): Buffer {
    const [first] = this.#chunks;
    if (first && first.length >= bytes) return first;
    let joined = 0;
    let count = 0;
    while (joined < bytes) joined += (this.#chunks[count++] as Buffer).length;
    const whole = Buffer.concat(this.#chunks.slice(0, count), joined);
    this.#chunks.splice(0, count, whole);
    return whole;
  }
}
