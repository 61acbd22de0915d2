import { Readable } from 'node:stream';

/** The sender's side of a window: waits until the reader has room. */
export class Credit {
  #bytes: number;
  #waiting: (() => void) | undefined;
  #closed = false;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    this.#wake();
  }

  /** Takes at most `wanted` bytes, at least 1; 0 when it was closed. One waiter at a time. */
  async take(wanted: number): Promise<number> {
    while (this.#bytes === 0 && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
    if (this.#closed) return 0;
    const taken = Math.min(wanted, this.#bytes);
    this.#bytes -= taken;
    return taken;
  }

  /** Nobody will give more: who waits is let go. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }
}

/** The reader's side: what arrives waits here until it is read, and then so much more is asked for. */
export class WindowedReadable extends Readable {
  #queue: Buffer[] = [];
  #wanted = false;
  #ended = false;

  constructor(private readonly taken: (bytes: number) => void) {
    super({ highWaterMark: 16 * 1024 });
  }

  /** Once it was destroyed data is dropped, and taken all the same: it holds up nobody. */
  arrive(data: Buffer): void {
    if (this.destroyed) {
      this.taken(data.length);
      return;
    }
    this.#queue.push(data);
    this.#flow();
  }

  arriveEnd(): void {
    this.#ended = true;
    this.#flow();
  }

  /** Nothing more comes, and the end has not been told; after it this says nothing. */
  arriveFailure(reason: Error | undefined): void {
    if (this.#ended) return;
    if (reason) this.destroy(reason);
    else this.arriveEnd();
  }

  override _read(): void {
    this.#wanted = true;
    this.#flow();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const bytes = this.#queue.reduce((sum, { length }) => sum + length, 0);
    this.#queue = [];
    if (bytes > 0) this.taken(bytes);
    callback(error);
  }

  #flow(): void {
    while (this.#wanted) {
      const next = this.#queue.shift();
      if (!next) {
        if (this.#ended) {
          this.#wanted = false;
          this.push(null);
        }
        return;
      }
      this.#wanted = this.push(next);
      this.taken(next.length);
    }
  }
}
