import { Readable } from 'node:stream';
import { COPY_BELOW_BYTES } from './limits.js';

const BLOCK_BYTES = 16 * 1024;
const READABLE_BUFFER_BYTES = 32 * 1024;

/** A copy of its own: a small piece would pin the whole read buffer it came in. */
function detached(piece: Buffer): Buffer {
  if (piece.length >= COPY_BELOW_BYTES) return piece;
  const copy = Buffer.allocUnsafeSlow(piece.length);
  piece.copy(copy);
  return copy;
}

/** First in, first out; small pieces are gathered in blocks, so that a million single bytes cost a million bytes. */
class PieceQueue {
  #pieces: Buffer[] = [];
  #first = 0;
  #block: Buffer | undefined;
  #blockBytes = 0;
  bytes = 0;

  append(piece: Buffer): void {
    this.bytes += piece.length;
    if (piece.length >= COPY_BELOW_BYTES) {
      this.#closeBlock();
      this.#pieces.push(piece);
      return;
    }
    if (this.#block && this.#blockBytes + piece.length > this.#block.length) this.#closeBlock();
    this.#block ??= Buffer.allocUnsafeSlow(BLOCK_BYTES);
    piece.copy(this.#block, this.#blockBytes);
    this.#blockBytes += piece.length;
  }

  shift(): Buffer | undefined {
    if (this.#first === this.#pieces.length) {
      this.#pieces.length = this.#first = 0;
      this.#closeBlock();
    }
    const piece = this.#pieces[this.#first];
    if (piece === undefined) return undefined;
    this.#first += 1;
    this.bytes -= piece.length;
    return piece;
  }

  clear(): number {
    const { bytes } = this;
    this.#pieces = [];
    this.#first = this.#blockBytes = this.bytes = 0;
    this.#block = undefined;
    return bytes;
  }

  #closeBlock(): void {
    if (this.#block) this.#pieces.push(this.#block.subarray(0, this.#blockBytes));
    this.#block = undefined;
    this.#blockBytes = 0;
  }
}

/**
 * stdout or stderr of a process in the guest. What its reader leaves waits here, as much as the credit given allows;
 * destroyed early it goes on consuming, so that the process does not hang on a reader that went away.
 */
export class OutputStream extends Readable {
  readonly #queue = new PieceQueue();
  /** push() is welcome: _read was called, and nothing refused since. */
  #wanted = false;
  #ended = false;
  #discarding = false;

  /** @param consumed is told how many bytes have gone to the reader, or were dropped because there is none. */
  constructor(readonly consumed: (bytes: number) => void) {
    super({ highWaterMark: READABLE_BUFFER_BYTES });
    // The session's death destroys every stream with its reason; who listens to none of them must not be ended by that.
    this.on('error', () => {});
  }

  /** Bytes that came and are neither with the reader nor dropped. */
  get heldBytes(): number {
    return this.#queue.bytes;
  }

  /** Not to be called after end(). */
  receive(piece: Buffer): void {
    if (this.#discarding) {
      this.consumed(piece.length);
    } else if (this.#wanted) {
      this.#wanted = this.push(detached(piece));
      this.consumed(piece.length);
    } else {
      this.#queue.append(piece);
    }
  }

  /** The guest has sent all. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#queue.bytes === 0 && !this.#discarding) this.push(null);
  }

  override _read(): void {
    this.#wanted = true;
    while (this.#wanted) {
      const piece = this.#queue.shift();
      if (piece === undefined) {
        if (this.#ended) {
          this.#wanted = false;
          this.push(null);
        }
        return;
      }
      this.#wanted = this.push(piece);
      this.consumed(piece.length);
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#discarding = true;
    const dropped = this.#queue.clear();
    if (dropped > 0) this.consumed(dropped);
    done(error);
  }
}
