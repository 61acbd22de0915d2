import assert from 'node:assert/strict';
import type { HyperplugError } from '../../core/errors.js';

export type Outcome<T> = { readonly value: T } | { readonly error: unknown };

export async function outcomeOf<T>(promise: Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await promise };
  } catch (error) {
    return { error };
  }
}

/** Fails unless every part of `value` is frozen. */
export function assertDeepFrozen(value: unknown, path: string): void {
  if (typeof value !== 'object' || value === null) return;
  assert.ok(Object.isFrozen(value), `${path} is not frozen`);
  for (const [key, part] of Object.entries(value)) assertDeepFrozen(part, `${path}.${key}`);
}

/** `value` after a trip through JSON; fails when something is lost on the way. */
export function jsonRoundTrip<T>(value: T, what: string): T {
  const copy = JSON.parse(JSON.stringify(value)) as T;
  assert.deepEqual(copy, value, `${what} is not JSON: a round trip changes it`);
  return copy;
}

/** Fails unless `error` names `field` in its details or its message. */
export function assertNamesField(error: Pick<HyperplugError, 'message' | 'details'>, field: string): void {
  const named = typeof error.details.field === 'string' ? error.details.field : '';
  assert.ok(
    named.includes(field) || error.message.includes(field),
    `the error does not name the field ${field}: ${error.message}`,
  );
}
