import { Writable } from 'node:stream';
import { HyperplugError } from '../../core/errors.js';

const WRITABLE_BUFFER_BYTES = 64 * 1024;

/**
 * stdin of a process in the guest. It holds what was written until a sender takes it; the write's callback comes when
 * the last of it has been taken, which the sender does only as the guest gives credit.
 */
export class InputStream extends Writable {
  #pieces: Buffer[] = [];
  #offset = 0;
  #written: ((error?: Error | null) => void) | undefined;
  #finishing: ((error?: Error | null) => void) | undefined;
  #endSent = false;
  pendingBytes = 0;

  /** @param ready is told that there is something to take. */
  constructor(readonly ready: () => void) {
    super({ highWaterMark: WRITABLE_BUFFER_BYTES, decodeStrings: true });
    this.on('error', () => {});
  }

  /** No more data will come, and the end has not been taken yet. */
  get endPending(): boolean {
    return this.pendingBytes === 0 && this.#finishing !== undefined;
  }

  /** Takes the next bytes, at least one and at most `most`, as they lie; call `taken` when they have been sent. */
  take(most: number): Buffer[] {
    const parts: Buffer[] = [];
    let left = Math.min(most, this.pendingBytes);
    this.pendingBytes -= left;
    let index = 0;
    while (left > 0) {
      const piece = this.#pieces[index]!;
      const end = Math.min(piece.length, this.#offset + left);
      parts.push(this.#offset === 0 && end === piece.length ? piece : piece.subarray(this.#offset, end));
      left -= end - this.#offset;
      this.#offset = end;
      if (end === piece.length) {
        index += 1;
        this.#offset = 0;
      }
    }
    if (index > 0) this.#pieces.splice(0, index);
    return parts;
  }

  /** What was taken has been sent: completes the write when it was the last of it. */
  taken(): void {
    if (this.pendingBytes > 0 || this.#written === undefined) return;
    const written = this.#written;
    this.#written = undefined;
    written();
  }

  /** The end has been sent. */
  endTaken(): void {
    this.#endSent = true;
    const finishing = this.#finishing;
    this.#finishing = undefined;
    finishing?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#accept([chunk], done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#accept(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#finishing = done;
    this.ready();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const written = this.#written;
    this.#pieces = [];
    this.pendingBytes = this.#offset = 0;
    this.#written = this.#finishing = undefined;
    // Destroyed by its writer it ends in the guest too, as a closed pipe does.
    if (!this.#endSent) {
      this.#finishing = () => {};
      this.ready();
    }
    // No 'error' event comes of this: the stream is destroyed already.
    written?.(error ?? new HyperplugError('AGENT_CLOSED', 'stdin: the process has ended'));
    done(error);
  }

  #accept(chunks: Buffer[], done: (error?: Error | null) => void): void {
    this.#pieces = chunks.filter((chunk) => chunk.length > 0);
    this.#offset = 0;
    this.pendingBytes = this.#pieces.reduce((bytes, chunk) => bytes + chunk.length, 0);
    this.#written = done;
    if (this.pendingBytes === 0) this.taken();
    else this.ready();
  }
}
