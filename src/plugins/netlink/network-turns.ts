import { setMaxListeners } from 'node:events';
import { abortError, type CallOptions, throwIfAborted } from '../../core/calls.js';
import { acquireLock } from '../../host/lock.js';

interface Job {
  readonly purpose: string;
  readonly call: CallOptions;
  /** Jobs of one key that wait together are done together. */
  readonly batch: object | undefined;
  readonly input: unknown;
  run(): Promise<unknown>;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

/** What can be done for several callers at once: one answer for each, or none is done and it throws. */
export type Batch<I, O> = (inputs: readonly I[], call: CallOptions) => Promise<readonly O[]>;

/**
 * Turns at the lock of the networks, one for all of them: rules of one stand in the same chains as those of the next. What
 * has gathered in this process shares one turn, and what is of one kind in it one change.
 */
export class NetworkTurns {
  #waiting: Job[] = [];
  #draining = false;
  /** Whose signal ends the wait for the lock. */
  #first: Job | undefined;

  constructor(private readonly lockPath: string) {}

  run<T>(purpose: string, call: CallOptions, body: () => Promise<T>): Promise<T> {
    return this.#push(purpose, call, body, undefined, undefined);
  }

  /** Alone where nobody else waits for the same, or where it failed for all of them together. */
  together<I, O>(purpose: string, call: CallOptions, batch: Batch<I, O>, input: I): Promise<O> {
    const alone = async () => (await batch([input], call))[0] as O;
    return this.#push(purpose, call, alone, batch, input);
  }

  #push<T>(
    purpose: string,
    call: CallOptions,
    run: () => Promise<T>,
    batch: object | undefined,
    input: unknown,
  ): Promise<T> {
    const { signal } = call;
    return new Promise<T>((resolve, reject) => {
      const job: Job = { purpose, call, batch, input, run, resolve: resolve as Job['resolve'], reject };
      this.#waiting.push(job);
      if (!this.#draining) {
        // It is the next: its signal ends the wait for the lock, and there is no other.
        void this.#drain();
        return;
      }
      const onAbort = () => {
        if (job === this.#first || !this.#waiting.includes(job)) return;
        this.#waiting = this.#waiting.filter((each) => each !== job);
        reject(abortError(signal, purpose));
      };
      setMaxListeners(0, signal);
      signal.addEventListener('abort', onAbort, { once: true });
      const settle = (done: (value: never) => void) => (value: unknown) => {
        signal.removeEventListener('abort', onAbort);
        done(value as never);
      };
      job.resolve = settle(resolve);
      job.reject = settle(reject);
    });
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    // Calls of the same turn of the event loop share a turn at the lock.
    await Promise.resolve();
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      this.#first = first;
      try {
        // By the first one's signal: who waits longer has it in the next turn.
        const lock = await acquireLock(this.lockPath, {
          purpose: first.purpose,
          signal: first.call.signal,
          exclusive: true,
        });
        try {
          this.#first = undefined;
          await runAll(this.#waiting.splice(0));
        } finally {
          await lock.release({ remove: true });
        }
      } catch (error) {
        // Not locked: the first one's signal fired, or the lock cannot be had at all.
        if (this.#waiting[0] === first) this.#waiting.shift();
        first.reject(error);
      } finally {
        this.#first = undefined;
      }
    }
    this.#draining = false;
  }
}

async function runAll(jobs: readonly Job[]): Promise<void> {
  for (let left = [...jobs]; left.length > 0; ) {
    const [first, ...others] = left as [Job, ...Job[]];
    const mates = first.batch ? others.filter(({ batch, call }) => batch === first.batch && !call.signal.aborted) : [];
    const group = [first, ...mates];
    left = others.filter((job) => !mates.includes(job));
    if (mates.length === 0 || !(await runTogether(group))) for (const job of group) await runAlone(job);
  }
}

async function runTogether(group: readonly Job[]): Promise<boolean> {
  const { batch } = group[0] as Job;
  const signal = AbortSignal.any(group.map(({ call }) => call.signal));
  try {
    const answers = await (batch as Batch<unknown, unknown>)(
      group.map(({ input }) => input),
      { signal },
    );
    for (const [index, job] of group.entries()) job.resolve(answers[index]);
    return true;
  } catch {
    return false;
  }
}

async function runAlone(job: Job): Promise<void> {
  try {
    throwIfAborted(job.call.signal, job.purpose);
    job.resolve(await job.run());
  } catch (error) {
    job.reject(error);
  }
}
