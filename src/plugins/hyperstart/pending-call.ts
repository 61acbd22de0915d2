import { setMaxListeners } from 'node:events';
import { abortError, type CallOptions } from '../../core/calls.js';
import type { QueuedMessage } from './channel-writer.js';
import type { Command } from './dialect.js';

/** A command that waits for its answer, or whose caller has gone. */
export class PendingCall {
  readonly result: Promise<Buffer>;
  message: QueuedMessage | undefined;
  #resolve!: (payload: Buffer) => void;
  #reject!: (error: unknown) => void;
  #settled = false;
  readonly #signal: AbortSignal;
  readonly #onAbort = () => {
    if (this.#settled) return;
    this.#settled = true;
    this.#reject(abortError(this.#signal, this.command.what));
    if (this.withdraw(this)) this.command.onLate?.(false);
  };

  constructor(
    readonly command: Command,
    options: CallOptions,
    /** The caller has gone: forgets the call if not a byte of it was sent, and says so. */
    readonly withdraw: (call: PendingCall) => boolean,
  ) {
    this.#signal = options.signal;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Any number of calls may share a signal; Node warns of eleven.
    setMaxListeners(0, this.#signal);
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  succeed(payload: Buffer): void {
    if (this.#settled) this.command.onLate?.(true);
    else this.#settle(() => this.#resolve(payload));
  }

  fail(error: unknown): void {
    if (this.#settled) this.command.onLate?.(false);
    else this.#settle(() => this.#reject(error));
  }

  #settle(how: () => void): void {
    this.#settled = true;
    this.#signal.removeEventListener('abort', this.#onAbort);
    how();
  }
}
