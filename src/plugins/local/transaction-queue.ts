import { setMaxListeners } from 'node:events';
import { abortError } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { StateTransaction } from '../../core/state-store.js';
import type { LockHolder } from '../../host/lock.js';
import { TurnLock } from '../../host/turn-lock.js';
import { unavailable } from './state-file.js';

const PURPOSE = 'state transaction';

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
  readonly #gate: TurnLock;
  readonly #lock: TurnLock;
  #waiting: QueuedJob[] = [];
  #turn: AbortController | undefined;
  #draining: Promise<void> | undefined;
  #holder: LockHolder | undefined;
  #closed: Error | undefined;

  constructor(path: string, runBatch: RunBatch) {
    this.#path = path;
    this.#runBatch = runBatch;
    this.#gate = new TurnLock(`${path}.gate`, PURPOSE);
    this.#lock = new TurnLock(`${path}.lock`, PURPOSE);
  }

  push<T>(run: (transaction: StateTransaction) => T, signal: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) return reject(this.#closed);
      if (signal.aborted) return reject(abortError(signal, PURPOSE));
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
    this.#gate.close();
    this.#lock.close();
  }

  #forget(job: QueuedJob): boolean {
    const index = this.#waiting.indexOf(job);
    if (index < 0) return false;
    this.#waiting.splice(index, 1);
    if (this.#waiting.length === 0) this.#turn?.abort();
    return true;
  }

  #waitError(signal: AbortSignal): HyperplugError {
    const reason = abortError(signal, PURPOSE);
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
      try {
        if (await this.#take()) await this.#run();
      } catch (error) {
        this.#rejectAll(unavailable(this.#path, error));
      } finally {
        this.#holder = undefined;
      }
    }
    // In the same turn as the last look at `waiting`: whoever comes later starts anew.
    this.#draining = undefined;
  }

  async #run(): Promise<void> {
    try {
      this.#lock.tell();
      const jobs = this.#waiting.splice(0);
      if (jobs.length > 0) await this.#runBatch(jobs);
    } finally {
      this.#lock.release();
    }
  }

  /** False: nobody waits for it any more. */
  async #take(): Promise<boolean> {
    if (!this.#gate.tryTake() && !(await this.#wait(this.#gate))) return false;
    try {
      if (this.#lock.tryTake()) return true;
      this.#gate.tell();
      return await this.#wait(this.#lock);
    } finally {
      this.#gate.release();
    }
  }

  async #wait(lock: TurnLock): Promise<boolean> {
    const turn = new AbortController();
    this.#turn = turn;
    try {
      const onWait = (holder: LockHolder | undefined) => {
        this.#holder = holder;
      };
      await lock.take({ signal: turn.signal, onWait });
      return true;
    } catch (error) {
      if (turn.signal.aborted) return false;
      throw error;
    } finally {
      this.#turn = undefined;
    }
  }
}
