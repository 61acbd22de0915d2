import type { StateTransaction } from '../state-store.js';

/**
 * Runs a transaction's body once. Its view is dead afterwards, so that what kept it cannot write into a later transaction.
 * @throws what the body throws; TypeError when it returns a promise (or any thenable), which could not be waited for.
 */
export function runBody<T>(body: (transaction: StateTransaction) => T, view: StateTransaction): T {
  let open = true;
  const guarded = <A extends unknown[], R>(method: (...args: A) => R) => {
    return (...args: A): R => {
      if (!open) throw new TypeError('transaction: used after its body returned');
      return method(...args);
    };
  };
  try {
    const result = body({
      get: guarded((key) => view.get(key)),
      put: guarded((key, value) => view.put(key, value)),
      delete: guarded((key) => view.delete(key)),
      list: guarded((prefix) => view.list(prefix)),
    });
    if (isThenable(result)) {
      // Its rejection, if it comes, is the caller's mistake and is told by the TypeError.
      Promise.resolve(result).catch(() => {});
      throw new TypeError('transaction: its body must be synchronous, it returned a promise');
    }
    return result;
  } finally {
    open = false;
  }
}

function isThenable(value: unknown): boolean {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    typeof (value as { then?: unknown }).then === 'function'
  );
}
