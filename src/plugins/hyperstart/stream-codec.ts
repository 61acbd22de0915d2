import { HyperplugError } from '../../core/errors.js';

export const STREAM_HEADER_BYTES = 12;

export interface StreamSink {
  /** A part of a message's payload, or all of it; valid during the call, or as long as its chunk is kept. */
  data(sequence: number, piece: Buffer): void;
  /** An empty message: end of stream. */
  end(sequence: number): void;
}

/** `u64 sequence | u32 length of the whole message`, to be followed by `payloadBytes`. */
export function encodeStreamHeader(sequence: number, payloadBytes: number): Buffer {
  const header = Buffer.allocUnsafe(STREAM_HEADER_BYTES);
  header.writeUInt32BE(Math.floor(sequence / 2 ** 32), 0);
  header.writeUInt32BE(sequence % 2 ** 32, 4);
  header.writeUInt32BE(STREAM_HEADER_BYTES + payloadBytes, 8);
  return header;
}

/**
 * Takes the streams channel's bytes in any pieces and passes payloads on without copying, in as many pieces as they came
 * in. Holds at most one header. Sequences beyond 2^53, which we never choose, are given as NaN.
 */
export class StreamDecoder {
  readonly #header = Buffer.alloc(STREAM_HEADER_BYTES);
  #headerBytes = 0;
  #sequence = 0;
  #payloadBytesLeft = 0;
  #failure: HyperplugError | undefined;

  constructor(
    readonly maxPayloadBytes: number,
    readonly sink: StreamSink,
  ) {}

  /** @throws AGENT_PROTOCOL a length that cannot be. */
  push(chunk: Buffer): void {
    if (this.#failure) throw this.#failure;
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#payloadBytesLeft > 0) {
        const end = Math.min(chunk.length, offset + this.#payloadBytesLeft);
        this.#payloadBytesLeft -= end - offset;
        const piece = offset === 0 && end === chunk.length ? chunk : chunk.subarray(offset, end);
        offset = end;
        this.sink.data(this.#sequence, piece);
      } else if (this.#headerBytes === 0 && chunk.length - offset >= STREAM_HEADER_BYTES) {
        this.#begin(chunk, offset);
        offset += STREAM_HEADER_BYTES;
      } else {
        const end = Math.min(chunk.length, offset + STREAM_HEADER_BYTES - this.#headerBytes);
        chunk.copy(this.#header, this.#headerBytes, offset, end);
        this.#headerBytes += end - offset;
        offset = end;
        if (this.#headerBytes === STREAM_HEADER_BYTES) {
          this.#headerBytes = 0;
          this.#begin(this.#header, 0);
        }
      }
    }
  }

  #begin(buffer: Buffer, offset: number): void {
    const high = buffer.readUInt32BE(offset);
    const low = buffer.readUInt32BE(offset + 4);
    const length = buffer.readUInt32BE(offset + 8);
    this.#sequence = high < 2 ** 21 ? high * 2 ** 32 + low : Number.NaN;
    const payloadBytes = length - STREAM_HEADER_BYTES;
    if (payloadBytes < 0 || payloadBytes > this.maxPayloadBytes) {
      const most = STREAM_HEADER_BYTES + this.maxPayloadBytes;
      this.#failure = new HyperplugError(
        'AGENT_PROTOCOL',
        `stream message (sequence ${this.#sequence}): length: expected ${STREAM_HEADER_BYTES} to ${most}, got ${length}`,
        { details: { field: 'length', received: length } },
      );
      throw this.#failure;
    }
    if (payloadBytes === 0) this.sink.end(this.#sequence);
    else this.#payloadBytesLeft = payloadBytes;
  }
}
