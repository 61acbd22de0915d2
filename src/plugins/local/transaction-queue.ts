import { setMaxListeners } from 'node:events';
import { abortError } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { StateTransaction } from '../../core/state-store.js';
import { acquireLock, type LockHolder } from '../../host/lock.js';
import { unavailable } from './state-file.js';

/** What one turn at the lock runs: it settles all of `jobs`. */
export type RunBatch = (jobs: readonly QueuedJob[]) => void | Promise<void>;

export interface QueuedJob {
  /** The body; called inside the batch, at most once, never after an abort. */
  readonly run: (transaction: StateTransaction) => unknown;
  readonly signal: AbortSignal;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/**
 * Turns at the store's lock. LMDB has a lock of its own, which would be waited for inside the process's only thread,
 * without a deadline, if its holder is stopped or its disk hangs; so it is never contended: whoever writes holds a
 * flock(2) first, which is waited for asynchronously. What has gathered meanwhile shares one turn, and one flush.
 *
 * The gate makes the turns of several processes fair: who waits for the lock holds the gate, so that the last holder cannot
 * take the lock again before it.
 */
export class TransactionQueue {
  readonly #path: string;
  readonly #runBatch: RunBatch;
  #waiting: QueuedJob[] = [];
  #turn: AbortController | undefined;
  #draining: Promise<void> | undefined;
  #holder: LockHolder | undefined;
  #closed: Error | undefined;

  constructor(path: string, runBatch: RunBatch) {
    this.#path = path;
    this.#runBatch = runBatch;
  }

  push<T>(run: (transaction: StateTransaction) => T, signal: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) return reject(this.#closed);
      if (signal.aborted) return reject(abortError(signal, 'state transaction'));
      const onAbort = () => {
        if (!this.#forget(job)) return; // it runs already
        job.reject(this.#waitError(signal));
      };
      const settled = () => signal.removeEventListener('abort', onAbort);
      const job: QueuedJob = {
        run,
        signal,
        resolve: (value) => {
          settled();
          resolve(value as T);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      };
      // Any number of calls may share a signal; Node would warn of a leak at the eleventh.
      setMaxListeners(0, signal);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(job);
      this.#draining ??= this.#drain();
    });
  }

  /** Rejects what waits with `error`, and all that comes; resolves when what runs has ended. */
  async close(error: Error): Promise<void> {
    this.#closed ??= error;
    this.#rejectAll(error);
    this.#turn?.abort(error);
    await this.#draining;
  }

  #forget(job: QueuedJob): boolean {
    const index = this.#waiting.indexOf(job);
    if (index < 0) return false;
    this.#waiting.splice(index, 1);
    if (this.#waiting.length === 0) this.#turn?.abort();
    return true;
  }

  #waitError(signal: AbortSignal): HyperplugError {
    const reason = abortError(signal, 'state transaction');
    if (!this.#holder) return reason;
    const { process, purpose } = this.#holder;
    return new HyperplugError(
      reason.code,
      `${reason.message}; the state store ${this.#path} was held by process ${process.pid} (${purpose})`,
      { cause: reason, details: { ...reason.details, holder: this.#holder } },
    );
  }

  #rejectAll(error: unknown): void {
    for (const job of this.#waiting.splice(0)) job.reject(error);
  }

  async #drain(): Promise<void> {
    // Calls of the same turn of the event loop share a batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const turn = new AbortController();
      this.#turn = turn;
      try {
        await using _lock = await this.#lock(turn.signal);
        this.#turn = undefined;
        const jobs = this.#waiting.splice(0);
        if (jobs.length > 0) await this.#runBatch(jobs);
      } catch (error) {
        if (!turn.signal.aborted) this.#rejectAll(unavailable(this.#path, error));
      } finally {
        this.#turn = undefined;
        this.#holder = undefined;
      }
    }
    // In the same turn as the last look at `waiting`: whoever comes later starts anew.
    this.#draining = undefined;
  }

  async #lock(signal: AbortSignal) {
    const options = {
      signal,
      purpose: 'state transaction',
      onWait: (holder: LockHolder | undefined) => {
        this.#holder = holder;
      },
    };
    await using _gate = await acquireLock(`${this.#path}.gate`, options);
    return await acquireLock(`${this.#path}.lock`, options);
  }
}
