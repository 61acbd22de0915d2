import { abortError, type CallOptions, throwIfAborted } from '../../calls.js';
import type { StateStore } from '../../state-store.js';
import type { EventOptions, PodEvent } from '../pods-api.js';
import { eventsSince, HEAD_KEY, lastSequence } from './event-log.js';
import type { Wake } from './wake.js';

/**
 * The log as it is, then as it grows. An event that nobody read in time (more came than are kept) is left out.
 * @throws ABORTED, STATE_*
 */
export async function* followEvents(
  state: StateStore,
  wake: Wake,
  { signal = new AbortController().signal, pods, since, follow = false }: EventOptions,
): AsyncGenerator<PodEvent> {
  const call: CallOptions = { signal };
  const bell = new Bell(signal);
  const stop = follow ? wake.listen(() => bell.ring()) : undefined;
  try {
    let at = since ?? lastSequence(await state.get(HEAD_KEY, call));
    for (;;) {
      throwIfAborted(signal, 'following events');
      bell.reset();
      const { events, last } = await eventsSince(state, at, call);
      // A log that was begun anew counts from one again.
      at = last;
      for (const event of events) if (!pods || pods.includes(event.pod)) yield event;
      if (!follow) return;
      await bell.heard();
    }
  } finally {
    stop?.();
    bell.end();
  }
}

/** Remembers that it was rung while nobody listened. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;
  readonly #onAbort = () => this.ring();

  constructor(private readonly signal: AbortSignal) {
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  reset(): void {
    this.#rung = false;
  }

  /** @throws ABORTED, TIMEOUT by the signal. */
  async heard(): Promise<void> {
    if (!this.#rung && !this.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = undefined;
    if (this.signal.aborted) throw abortError(this.signal, 'waiting for events');
  }

  end(): void {
    this.signal.removeEventListener('abort', this.#onAbort);
  }
}
