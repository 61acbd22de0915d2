import type { ErrorCode } from './error-codes.js';

const BRAND = Symbol.for('hyperplug.error');

export interface HyperplugErrorOptions {
  /** The error that led to this one; the first of `errors` when several did. */
  readonly cause?: unknown;
  /** Structured facts: `field`, `expected`, `received`, `argv`, `exitCode`, `stderrTail`, … JSON-serialisable. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Every error of a call that went on past the first (teardown, rollback). */
  readonly errors?: readonly unknown[];
}

/**
 * The one error class. Programmers' mistakes are TypeError instead.
 * Recognise it by `isHyperplugError`, not by `instanceof`: two copies of the package may meet.
 */
export class HyperplugError extends Error {
  override readonly name: string = 'HyperplugError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;
  readonly errors: readonly unknown[];

  constructor(code: ErrorCode, message: string, options: HyperplugErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = Object.freeze({ ...options.details });
    this.errors = Object.freeze([...(options.errors ?? [])]);
    Object.defineProperty(this, BRAND, { value: true });
  }
}

export function isHyperplugError(value: unknown): value is HyperplugError {
  return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[BRAND] === true;
}

/** True when `value` is a HyperplugError of one of `codes`. */
export function hasCode(value: unknown, ...codes: ErrorCode[]): value is HyperplugError {
  return isHyperplugError(value) && codes.includes(value.code);
}

/** A value as an error message shows it: its content, bounded, and its type. */
export function shown(value: unknown): string {
  if (value === undefined) return 'undefined';
  let text: string;
  try {
    text = typeof value === 'bigint' ? `${value}n` : (JSON.stringify(value) ?? String(value));
  } catch {
    // Circular, or too deep for String() as well.
    text = Object.prototype.toString.call(value);
  }
  const type = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  return `${text.length > 120 ? `${text.slice(0, 117)}…` : text} (${type})`;
}

/**
 * An error about one input field: the message names the field, what was expected and what came, with its type.
 * `details` holds `field`, `expected` and `received`.
 */
export function fieldError(code: ErrorCode, field: string, expected: string, received: unknown): HyperplugError {
  return new HyperplugError(code, `${field}: expected ${expected}, got ${shown(received)}`, {
    details: { field, expected, received: typeof received === 'bigint' ? received.toString() : received },
  });
}

/** Flattens nested `errors`, so that a report names each failure once. */
export function flattenErrors(errors: readonly unknown[]): unknown[] {
  return errors.flatMap((error) =>
    isHyperplugError(error) && error.errors.length > 0 ? flattenErrors(error.errors) : [error],
  );
}

/** One error for several: the only one as it is, else a new one whose cause is the first and whose `errors` are all. */
export function combineErrors(code: ErrorCode, what: string, errors: readonly unknown[]): unknown {
  const all = flattenErrors(errors);
  if (all.length === 1) return all[0];
  const words = all.map((error) => (error instanceof Error ? error.message : String(error)));
  // One reason may have been in the way of several steps.
  return new HyperplugError(code, `${what}: ${[...new Set(words)].join('; ')}`, { cause: all[0], errors: all });
}
