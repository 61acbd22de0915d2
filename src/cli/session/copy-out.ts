import type { Readable } from 'node:stream';
import { HyperplugError } from '../../core/errors.js';
import type { Output } from '../output.js';

/** After the command has ended its streams end too; this is how long we wait for that when nothing comes. */
const END_OF_STREAM_MS = 10_000;

/** One output stream on its way to ours: in order, at the pace of whoever reads ours, to its end. */
export class CopyOut {
  /** Resolves at the end of the stream. Rejects when the guest's side fails. */
  readonly done: Promise<void>;
  #waitingSinceMs: number | undefined;

  constructor(
    private readonly source: Readable,
    private readonly sink: Output,
  ) {
    this.done = this.#run();
    this.done.catch(() => {});
  }

  /** To be called when the command has ended: a stream that does not end then is an error, a slow reader of ours is none. */
  expectEnd(): void {
    const timer = setInterval(() => {
      const since = this.#waitingSinceMs;
      if (since === undefined || performance.now() - since < END_OF_STREAM_MS) return;
      const what = `the command has ended, but the end of its ${this.sink.name} did not come`;
      this.source.destroy(new HyperplugError('AGENT_PROTOCOL', what));
    }, 1_000);
    this.done.catch(() => {}).finally(() => clearInterval(timer));
  }

  /** Reads no more: the user has given up. */
  abandon(): void {
    this.source.destroy();
  }

  async #run(): Promise<void> {
    this.#waitingSinceMs = performance.now();
    for await (const chunk of this.source) {
      this.#waitingSinceMs = undefined;
      // Once nobody reads ours the rest is discarded, so that the command is not held up on its way to its end.
      await this.sink.write(chunk as Uint8Array);
      this.#waitingSinceMs = performance.now();
    }
    this.#waitingSinceMs = undefined;
  }
}
