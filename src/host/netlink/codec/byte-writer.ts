const FIRST_BYTES = 1024;

/** Netlink messages, one behind the other, in a buffer that grows and is used again: most of an encoder's work is else buffers. */
export class ByteWriter {
  /** Zeroes behind `#length`: a fill for each of a message's attributes would take longer than they do. */
  #buffer: Buffer;
  #length = 0;

  constructor(firstBytes = FIRST_BYTES) {
    this.#buffer = Buffer.alloc(firstBytes);
  }

  /** What was written; valid until the next write. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  /** The whole buffer, for writing at what reserve() returned; another one after the next reserve(). */
  get buffer(): Buffer {
    return this.#buffer;
  }

  clear(): void {
    this.#buffer.fill(0, 0, this.#length);
    this.#length = 0;
  }

  /** So many zeroes, aligned to 4 behind. @returns where they are. */
  reserve(length: number): number {
    const start = this.#length;
    const end = start + ((length + 3) & ~3);
    while (end > this.#buffer.length) this.#buffer = Buffer.concat([this.#buffer], this.#buffer.length * 2);
    this.#length = end;
    return start;
  }
}
