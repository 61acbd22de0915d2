import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';

/** How long a suite waits. All in milliseconds. */
export interface ContractTimeouts {
  /** The deadline each plugin call is given. */
  readonly callMs: number;
  /** What a plugin may need past its deadline to undo what it made, and what "at once" may take. */
  readonly graceMs: number;
  /** Deadline for calls that must run into it (a NIC that the guest keeps, an agent that says nothing). */
  readonly shortMs: number;
}

export const DEFAULT_TIMEOUTS: ContractTimeouts = { callMs: 30_000, graceMs: 5_000, shortMs: 500 };

/** A call of a plugin that did not settle. */
export class HungCallError extends Error {
  override readonly name = 'HungCallError';
}

/** Settles with `promise`, or rejects with HungCallError: the one wait that does not trust the plugin. */
export function settles<T>(promise: PromiseLike<T>, timeoutMs: number, what: string): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(new HungCallError(`${what} has not settled in ${timeoutMs} ms`)), timeoutMs);
    Promise.resolve(promise)
      .finally(() => clearTimeout(timer))
      .then(resolve, reject);
  });
}

/**
 * `target` with every promise its methods return bounded, so that a plugin that hangs fails a test and not the run.
 * Properties that are promises (`exited`, `closed`) are left alone.
 */
export function guarded<T extends object>(target: T, limitMs: number, label: string): T {
  const methods = new Map<PropertyKey, unknown>();
  return new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key, object);
      if (typeof value !== 'function') return value;
      let method = methods.get(key);
      if (!method) {
        method = (...args: unknown[]) => {
          const result: unknown = Reflect.apply(value, object, args);
          return isPromise(result) ? settles(result, limitMs, `${label}.${String(key)}()`) : result;
        };
        methods.set(key, method);
      }
      return method;
    },
  });
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

/** Deadlines of one test; their timers are gone when it ends. */
export class Deadlines {
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(readonly timeouts: ContractTimeouts) {}

  /** Options whose signal fires with TIMEOUT, as core's do. */
  call(timeoutMs = this.timeouts.callMs): CallOptions {
    const controller = new AbortController();
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      controller.abort(new HyperplugError('TIMEOUT', `no result after ${timeoutMs} ms`, { details: { timeoutMs } }));
    }, timeoutMs);
    this.#timers.add(timer);
    return { signal: controller.signal };
  }

  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}

/** Options whose signal has fired already, with ABORTED. */
export function abortedCall(): CallOptions {
  return { signal: AbortSignal.abort(new HyperplugError('ABORTED', 'aborted by the contract suite')) };
}

/** Options to abort by hand, with ABORTED. */
export function abortableCall(): CallOptions & { abort(): void } {
  const controller = new AbortController();
  return {
    signal: controller.signal,
    abort: () => controller.abort(new HyperplugError('ABORTED', 'aborted by the contract suite')),
  };
}

export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
export const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Waits until `condition` holds. Rejects with what it waited for. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  what: string,
): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${what}: not so after ${timeoutMs} ms`);
    await pause(Math.min(20, Math.max(1, timeoutMs / 20)));
  }
}
