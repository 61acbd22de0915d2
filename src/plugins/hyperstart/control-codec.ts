import { HyperplugError } from '../../core/errors.js';

export const CONTROL_HEADER_BYTES = 8;

/** Called for each whole message. `payload` is valid during the call; keep a copy, or keep it knowing that it pins its chunk. */
export type ControlSink = (code: number, payload: Buffer) => void;

/** `u32 code | u32 length of the whole message | payload`, one buffer. */
export function encodeControl(code: number, ...parts: readonly Uint8Array[]): Buffer {
  let length = CONTROL_HEADER_BYTES;
  for (const part of parts) length += part.length;
  const message = Buffer.allocUnsafe(length);
  message.writeUInt32BE(code, 0);
  message.writeUInt32BE(length, 4);
  let offset = CONTROL_HEADER_BYTES;
  for (const part of parts) {
    message.set(part, offset);
    offset += part.length;
  }
  return message;
}

/**
 * Takes the control channel's bytes in any pieces and gives whole messages. Holds at most twice the bytes received of one
 * message: a length alone allocates nothing. After an error it takes no more.
 */
export class ControlDecoder {
  #held: Buffer = Buffer.alloc(0);
  #heldBytes = 0;
  #failure: HyperplugError | undefined;

  /** @param maxMessageBytes may be raised while it runs; `sink` may be replaced, between two messages too. */
  constructor(
    public maxMessageBytes: number,
    public sink: ControlSink,
  ) {}

  /** @throws AGENT_PROTOCOL a length that cannot be. */
  push(chunk: Buffer): void {
    if (this.#failure) throw this.#failure;
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#heldBytes === 0) {
        const length = chunk.length - offset >= CONTROL_HEADER_BYTES ? this.#length(chunk, offset) : undefined;
        if (length !== undefined && chunk.length - offset >= length) {
          this.#deliver(chunk.subarray(offset, offset + length));
          offset += length;
          continue;
        }
      }
      offset = this.#hold(chunk, offset);
    }
  }

  /** Takes what the held message lacks (first its header, then its body) and delivers it when whole. */
  #hold(chunk: Buffer, offset: number): number {
    let wanted = CONTROL_HEADER_BYTES;
    if (this.#heldBytes >= CONTROL_HEADER_BYTES) wanted = this.#length(this.#held, 0);
    const end = Math.min(chunk.length, offset + wanted - this.#heldBytes);
    this.#append(chunk, offset, end, wanted);
    if (this.#heldBytes < CONTROL_HEADER_BYTES) return end;
    const length = this.#length(this.#held, 0);
    if (this.#heldBytes < length) return end;
    const message = this.#held.subarray(0, length);
    this.#held = Buffer.alloc(0);
    this.#heldBytes = 0;
    this.#deliver(message);
    return end;
  }

  #append(chunk: Buffer, start: number, end: number, wanted: number): void {
    const bytes = this.#heldBytes + end - start;
    if (bytes > this.#held.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(bytes, Math.min(wanted, bytes * 2), CONTROL_HEADER_BYTES));
      this.#held.copy(grown, 0, 0, this.#heldBytes);
      this.#held = grown;
    }
    chunk.copy(this.#held, this.#heldBytes, start, end);
    this.#heldBytes = bytes;
  }

  #length(buffer: Buffer, offset: number): number {
    const length = buffer.readUInt32BE(offset + 4);
    if (length >= CONTROL_HEADER_BYTES && length <= this.maxMessageBytes) return length;
    this.#failure = new HyperplugError(
      'AGENT_PROTOCOL',
      `control message (code ${buffer.readUInt32BE(offset)}): length: expected ${CONTROL_HEADER_BYTES} to ${this.maxMessageBytes}, got ${length}`,
      { details: { field: 'length', received: length } },
    );
    throw this.#failure;
  }

  #deliver(message: Buffer): void {
    this.sink(message.readUInt32BE(0), message.subarray(CONTROL_HEADER_BYTES));
  }
}
