import { abortError, type UserCallOptions } from '../calls.js';
import { HyperplugError } from '../errors.js';
import type { PodBackend } from './pod-backend.js';
import type { PodEvent, PodEventType } from './pods-api.js';

type Listener = (event: PodEvent) => void;
type Waiter = (error: HyperplugError) => void;

/** Listeners on the events of one pod; they are read as long as there is one. */
export class PodEvents {
  readonly #listeners = new Set<{ readonly type: PodEventType | '*'; readonly listener: Listener }>();
  readonly #waiters = new Set<Waiter>();
  #reading: AbortController | undefined;
  #closed = false;

  constructor(private readonly backend: Pick<PodBackend, 'id' | 'life'>) {}

  on<T extends PodEventType>(type: T | '*', listener: (event: PodEvent & { readonly type: T }) => void): () => void {
    const entry = { type, listener: listener as Listener };
    this.#listeners.add(entry);
    if (!this.#closed && !this.#reading) void this.#read();
    return () => {
      this.#listeners.delete(entry);
      if (this.#listeners.size === 0) this.#stop();
    };
  }

  /** @throws ABORTED, TIMEOUT; POD_NOT_RUNNING the pod is not held any more; what reading events fails with. */
  once<T extends PodEventType>(type: T, { signal, timeoutMs }: UserCallOptions) {
    return new Promise<PodEvent & { readonly type: T }>((resolve, reject) => {
      const what = `the event ${type} of pod ${this.backend.id}`;
      const end = (settle: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#waiters.delete(fail);
        off();
        settle();
      };
      const fail: Waiter = (error) => end(() => reject(error));
      const onAbort = () => signal && fail(abortError(signal, what));
      const late = () => fail(new HyperplugError('TIMEOUT', `${what}: did not come within ${timeoutMs} ms`));
      const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
      this.#waiters.add(fail);
      const off = this.on(type, (event) => end(() => resolve(event)));
      if (signal?.aborted) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
      if (this.#closed) fail(this.#gone());
    });
  }

  close(): void {
    this.#closed = true;
    this.#listeners.clear();
    this.#stop();
    for (const fail of [...this.#waiters]) fail(this.#gone());
  }

  #gone(): HyperplugError {
    return new HyperplugError('POD_NOT_RUNNING', `pod ${this.backend.id} is not held any more`);
  }

  #stop(): void {
    this.#reading?.abort(new HyperplugError('ABORTED', 'nobody listens any more'));
    this.#reading = undefined;
  }

  async #read(): Promise<void> {
    const reading = new AbortController();
    this.#reading = reading;
    const { signal } = reading;
    try {
      for await (const event of this.backend.life.events({ pods: [this.backend.id], follow: true, signal })) {
        for (const { type, listener } of [...this.#listeners]) if (type === '*' || type === event.type) listener(event);
        if (signal.aborted) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#reading = undefined;
      const failure =
        error instanceof HyperplugError ? error : new HyperplugError('HOST_IO', 'events', { cause: error });
      for (const fail of [...this.#waiters]) fail(failure);
      if (this.#listeners.size > 0) process.emitWarning(failure.message, { code: failure.code, type: 'PodEventsLost' });
    }
  }
}
