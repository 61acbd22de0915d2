import { CONTROL_HEADER_BYTES } from './control-codec.js';
import { encodeStreamHeader } from './stream-codec.js';

/** The first message of a session on the streams channel: sequence 0, the nonce. */
export function encodeMark(nonce: string): Buffer {
  return Buffer.concat([encodeStreamHeader(0, nonce.length), Buffer.from(nonce, 'latin1')]);
}

/** Drops bytes until `pattern` has passed. Holds less than the pattern's length between pushes. */
export class PatternScanner {
  #tail: Buffer = Buffer.alloc(0);
  constructor(readonly pattern: Buffer) {}

  /** What follows the pattern, once it has been found; undefined until then. */
  push(chunk: Buffer): Buffer | undefined {
    const bytes = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    const found = bytes.indexOf(this.pattern);
    if (found >= 0) return bytes.subarray(found + this.pattern.length);
    this.#tail = Buffer.from(bytes.subarray(Math.max(0, bytes.length - this.pattern.length + 1)));
    return undefined;
  }
}

/** Longest answer to GETVERSION that is looked for among stale bytes. */
const MAX_ANSWER_BYTES = 1024;

/**
 * Finds the answer to GETVERSION among what a session before has left on the control channel, wherever that was cut off.
 * Holds at most MAX_ANSWER_BYTES between pushes.
 */
export class AnswerScanner {
  #tail: Buffer = Buffer.alloc(0);
  /** @param accept decides on the payload of what looks like an ACK with the version at its start. */
  constructor(
    readonly ackCode: number,
    readonly version: number,
    readonly accept: (payload: Buffer) => boolean,
  ) {}

  /** The bytes after the answer, once it has been found and accepted; undefined until then. */
  push(chunk: Buffer): Buffer | undefined {
    const bytes = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    const code = Buffer.alloc(4);
    code.writeUInt32BE(this.ackCode);
    for (let at = bytes.indexOf(code); at >= 0; at = bytes.indexOf(code, at + 1)) {
      if (bytes.length - at < CONTROL_HEADER_BYTES + 4) break;
      const length = bytes.readUInt32BE(at + 4);
      if (length < CONTROL_HEADER_BYTES + 4 || length > MAX_ANSWER_BYTES || at + length > bytes.length) continue;
      if (bytes.readUInt32BE(at + CONTROL_HEADER_BYTES) !== this.version) continue;
      if (this.accept(bytes.subarray(at + CONTROL_HEADER_BYTES, at + length))) return bytes.subarray(at + length);
    }
    this.#tail = Buffer.from(bytes.subarray(Math.max(0, bytes.length - MAX_ANSWER_BYTES + 1)));
    return undefined;
  }
}
