import { Readable } from 'node:stream';

/**
 * One output of a command: collected, and given to whoever takes `stream`, at the reader's pace from then on. Where nobody
 * takes it the command is not held up.
 */
export class CommandOutput {
  #chunks: Buffer[] = [];
  #size = 0;
  #stream: Readable | undefined;
  #wake: (() => void) | undefined;
  #over = false;
  #error: Error | undefined;
  #overflown = false;

  constructor(
    private collect: boolean,
    private readonly maxBytes: number,
    private readonly onOverflow: () => void,
  ) {}

  get stream(): Readable {
    return this.#stream ?? this.#open();
  }

  /** The stream alone has it from now on, with what has come already. */
  get uncollected(): Readable {
    const { stream } = this;
    this.collect = false;
    this.#chunks = [];
    return stream;
  }

  get collected(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** Resolves at its end. @throws what broke it. */
  async take(source: Readable): Promise<void> {
    try {
      for await (const chunk of source as AsyncIterable<Buffer>) await this.#give(chunk);
      this.end();
    } catch (error) {
      this.end(error as Error);
      throw error;
    }
  }

  /** No more will come. */
  end(error?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    this.#wake?.();
    if (this.#stream) finish(this.#stream, error);
  }

  async #give(chunk: Buffer): Promise<void> {
    if (this.collect && !this.#overflown) {
      const room = this.maxBytes - this.#size;
      this.#chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
      this.#size += Math.min(chunk.length, room);
      if (chunk.length > room) {
        this.#overflown = true;
        this.onOverflow();
      }
    }
    const stream = this.#stream;
    if (!stream || stream.destroyed || this.#over || stream.push(chunk)) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  #open(): Readable {
    const stream = new Readable({
      read: () => this.#wake?.(),
      destroy: (error, callback) => {
        this.#wake?.();
        callback(error);
      },
    });
    this.#stream = stream;
    for (const chunk of this.#chunks) stream.push(chunk);
    if (this.#over) finish(stream, this.#error);
    return stream;
  }
}

/** An error is told to those who listen for it; the promise tells it in any case. */
function finish(stream: Readable, error: Error | undefined): void {
  if (!error) stream.push(null);
  else if (stream.listenerCount('error') > 0) stream.destroy(error);
  else stream.destroy();
}
