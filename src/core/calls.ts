import { HyperplugError, isHyperplugError } from './errors.js';

/**
 * What every plugin call takes. `signal` always exists and always ends: core has folded the caller's own signal and a
 * deadline into it. Its reason is a HyperplugError (TIMEOUT or ABORTED) that a rejected call passes on.
 */
export interface CallOptions {
  readonly signal: AbortSignal;
}

/** What users may pass: both optional. */
export interface UserCallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/**
 * A HyperplugError for an aborted signal: its reason where that is one already, else ABORTED with the reason as cause
 * (TIMEOUT when the reason is the TimeoutError of AbortSignal.timeout).
 */
export function abortError(signal: AbortSignal, what: string): HyperplugError {
  const reason: unknown = signal.reason;
  if (isHyperplugError(reason)) return reason;
  const timedOut = reason instanceof Error && reason.name === 'TimeoutError';
  return new HyperplugError(timedOut ? 'TIMEOUT' : 'ABORTED', `${what}: ${timedOut ? 'deadline passed' : 'aborted'}`, {
    cause: reason,
  });
}

/** @throws TIMEOUT or ABORTED when the signal has fired. */
export function throwIfAborted(signal: AbortSignal, what: string): void {
  if (signal.aborted) throw abortError(signal, what);
}

/**
 * Runs `body` with a signal that fires after `timeoutMs` or with the caller's; the timer is gone when it settles.
 * `what` names the wait in the TIMEOUT error.
 */
export async function withDeadline<T>(
  what: string,
  timeoutMs: number,
  parent: AbortSignal | undefined,
  body: (options: CallOptions) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(
      new HyperplugError('TIMEOUT', `${what}: no result after ${timeoutMs} ms`, { details: { what, timeoutMs } }),
    );
  }, timeoutMs);
  const onAbort = () => parent && controller.abort(abortError(parent, what));
  if (parent?.aborted) onAbort();
  else parent?.addEventListener('abort', onAbort, { once: true });
  try {
    return await body({ signal: controller.signal });
  } finally {
    clearTimeout(timer);
    parent?.removeEventListener('abort', onAbort);
  }
}

/** Waits for `promise`, but no longer than the signal lives. The promise itself goes on; its late rejection is swallowed. */
export function raceSignal<T>(promise: Promise<T>, signal: AbortSignal, what: string): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) {
      promise.catch(() => {});
      reject(abortError(signal, what));
      return;
    }
    const onAbort = () => reject(abortError(signal, what));
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** A plugin has this long to answer its aborted signal (to undo, and to reject) before it is given up. */
const GRACE_MS = 1_000;

/** Waits for what a plugin does; once the signal fires, only for a grace period more. */
export async function withGrace<T>(promise: Promise<T>, signal: AbortSignal, what: string): Promise<T> {
  const grace = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = () => {
    timer = setTimeout(() => grace.abort(abortError(signal, what)), GRACE_MS);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await raceSignal(promise, grace.signal, what);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
