import type { Duplex } from 'node:stream';
import { HyperplugError, isHyperplugError } from '../../core/errors.js';

const GOODBYE_MS = 1_000;

/** The two channels of a conversation and its end, whichever comes first: theirs, ours, or the guest's misconduct. */
export class Link {
  readonly closed: Promise<Error>;
  /** Set once the conversation is over: AGENT_CLOSED, what led to it as cause. */
  error: HyperplugError | undefined;
  /** Called at once when the conversation is over. */
  onClosed: (error: HyperplugError) => void = () => {};
  #resolveClosed!: (reason: Error) => void;
  readonly #handlers = new Map<Duplex, (chunk: Buffer) => void>();

  constructor(
    readonly control: Duplex,
    readonly streams: Duplex,
  ) {
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    for (const [channel, name] of [
      [control, 'control'],
      [streams, 'streams'],
    ] as const) {
      channel.on('error', (error) => this.fail(error, `the ${name} channel failed: ${error.message}`));
      channel.on('end', () => this.fail(undefined, `the guest closed the ${name} channel`));
      channel.on('close', () => this.fail(undefined, `the ${name} channel closed`));
      if (channel.destroyed || channel.readableEnded) this.fail(undefined, `the ${name} channel is closed already`);
    }
  }

  /** From now on `handler` gets the channel's bytes; what it throws ends the conversation. */
  receive(channel: Duplex, handler: (chunk: Buffer) => void): void {
    const first = !this.#handlers.has(channel);
    this.#handlers.set(channel, handler);
    if (first) channel.on('data', (chunk: Buffer) => this.#data(channel, chunk));
  }

  /** Hands bytes to the channel's handler, which may have been changed by the bytes before. */
  #data(channel: Duplex, chunk: Buffer): void {
    if (this.error) return;
    try {
      this.#handlers.get(channel)?.(chunk);
    } catch (error) {
      this.misconduct(error);
    }
  }

  /** The guest broke the protocol (or, should it be, we have a defect that its bytes found): no word is believed any more. */
  misconduct(error: unknown): void {
    const reason = isHyperplugError(error)
      ? error
      : new HyperplugError('AGENT_PROTOCOL', `what the agent sent could not be handled: ${String(error)}`, {
          cause: error,
        });
    this.fail(reason, reason.message);
  }

  /** Ends the conversation at once. Idempotent. */
  fail(cause: Error | undefined, message: string): void {
    if (this.#end(cause, message)) {
      this.control.destroy();
      this.streams.destroy();
    }
  }

  /** Ends it in order: what was written is still sent, for a moment at most. */
  async close(message: string): Promise<void> {
    this.#end(undefined, message);
    await Promise.all([this.control, this.streams].map(finish));
  }

  #end(cause: Error | undefined, message: string): boolean {
    if (this.error) return false;
    this.error = new HyperplugError('AGENT_CLOSED', message, cause ? { cause } : {});
    this.#resolveClosed(cause ?? this.error);
    this.onClosed(this.error);
    return true;
  }
}

function finish(channel: Duplex): Promise<void> {
  return new Promise((resolve) => {
    if (channel.closed) return resolve();
    const timer = setTimeout(() => channel.destroy(), GOODBYE_MS);
    channel.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    channel.end(() => channel.destroy());
  });
}
