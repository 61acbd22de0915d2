import { tarError } from './header.js';

/** Exact pieces of a stream. */
export class ByteSource {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** undefined: the stream is at its end. @throws POD_COPY_FAILED it ended in the middle. */
  async read(length: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    let left = length;
    while (left > 0) {
      const part = await this.#next(left);
      if (!part) {
        if (left === length) return undefined;
        throw tarError('it is cut off');
      }
      parts.push(part);
      left -= part.length;
    }
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }

  async skip(length: number): Promise<void> {
    for await (const _ of this.take(length));
  }

  /** The next so many bytes, in pieces; one iteration goes on where another stopped. @throws POD_COPY_FAILED */
  take(length: number): AsyncIterable<Buffer> {
    let left = length;
    const next = async (): Promise<IteratorResult<Buffer, undefined>> => {
      if (left === 0) return { done: true, value: undefined };
      const part = await this.#next(left);
      if (!part) throw tarError('it is cut off');
      left -= part.length;
      return { done: false, value: part };
    };
    return { [Symbol.asyncIterator]: () => ({ next }) };
  }

  /** Takes what is left, but no more than so much. */
  async drain(most: number): Promise<void> {
    let left = most;
    while (left > 0) {
      const part = await this.#next(left);
      if (!part) return;
      left -= part.length;
    }
  }

  async close(): Promise<void> {
    if (!this.#ended) await this.#iterator.return?.();
  }

  async #next(most: number): Promise<Buffer | undefined> {
    while (this.#held.length === 0) {
      if (this.#ended) return undefined;
      const { done, value } = await this.#iterator.next();
      if (done) this.#ended = true;
      else this.#held = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    const part = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(part.length);
    return part;
  }
}
