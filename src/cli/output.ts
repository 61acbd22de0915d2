import type { Writable } from 'node:stream';
import { HyperplugError } from '../core/errors.js';

/** Errors that say that nobody reads any more; a program ends quietly on them. */
const GONE = new Set(['EPIPE', 'EIO', 'ECONNRESET', 'ERR_STREAM_DESTROYED', 'ERR_STREAM_WRITE_AFTER_END']);

/**
 * Standard output or standard error: ordered, with backpressure, and with one place that knows whether the reader is
 * still there. The error listener stays for the life of the process, so that a late EPIPE is no crash.
 */
export class Output {
  /** Resolves when it cannot be written any more. */
  readonly failed: Promise<Error>;
  #failure: Error | undefined;

  constructor(
    readonly name: 'standard output' | 'standard error',
    private readonly stream: Writable,
    readonly isTerminal: boolean,
  ) {
    this.failed = new Promise((resolve) => {
      stream.on('error', (error: Error) => {
        this.#failure ??= error;
        resolve(error);
      });
    });
  }

  /** Its reader is gone (a closed pipe, a terminal that hung up). */
  get isGone(): boolean {
    return this.#failure !== undefined && GONE.has((this.#failure as NodeJS.ErrnoException).code ?? '');
  }

  /** Why it cannot be written; undefined while it can, or when only its reader is gone. @returns CLI_OUTPUT_FAILED. */
  get failure(): HyperplugError | undefined {
    if (this.#failure === undefined || this.isGone) return undefined;
    return new HyperplugError('CLI_OUTPUT_FAILED', `${this.name}: ${this.#failure.message}`, { cause: this.#failure });
  }

  /** Resolves when more may be written. False: it failed, and nothing will be written any more. */
  async write(chunk: Uint8Array | string): Promise<boolean> {
    if (this.#failure) return false;
    if (this.stream.write(chunk)) return true;
    await new Promise<void>((resolve) => {
      const done = () => {
        for (const event of ['drain', 'error', 'close']) this.stream.off(event, done);
        resolve();
      };
      for (const event of ['drain', 'error', 'close']) this.stream.on(event, done);
    });
    return this.#failure === undefined;
  }

  /** Writes without waiting: for single lines. */
  print(text: string): void {
    if (!this.#failure) this.stream.write(text);
  }

  /** Resolves when all that was written has been handed to the kernel, or never will be; or after `limitMs`. */
  flush(limitMs?: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#failure) return resolve();
      const timer = limitMs === undefined ? undefined : setTimeout(resolve, limitMs);
      this.stream.write('', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
