import assert from 'node:assert/strict';
import type { CallOptions } from '../core/calls.js';
import type { ErrorCode } from '../core/error-codes.js';
import { hasCode, isHyperplugError } from '../core/errors.js';

export type TestBody = () => void | Promise<void>;

/**
 * What a contract suite needs of a test runner. mocha's globals and node:test's exports fit as they are; vitest's as
 * `{ describe, it, before: beforeAll, after: afterAll, beforeEach, afterEach }`.
 */
export interface ContractRunner {
  describe(name: string, body: () => void): unknown;
  it(name: string, body: TestBody): unknown;
  before(body: TestBody): unknown;
  after(body: TestBody): unknown;
  beforeEach(body: TestBody): unknown;
  afterEach(body: TestBody): unknown;
}

/** What every contract suite takes; each adds what its kind needs. */
export interface ContractOptions<T> {
  readonly runner: ContractRunner;
  /** Appended to the suite's title: which implementation this is. */
  readonly label?: string;
  /** A fresh instance that is not started and shares nothing with those of other tests. Called within each test. */
  create(): T | Promise<T>;
  /** After each test, whatever came of it: stop the instance and remove what holds its data. */
  dispose?(subject: T): void | Promise<void>;
  /** Asked after dispose(): what of this instance is still there, in words. It should ask the operating system. */
  leftovers?(): readonly string[] | Promise<readonly string[]>;
  /** Deadline of each plugin call; default 30 000. */
  readonly callTimeoutMs?: number;
}

/** Fresh call options that end after `timeoutMs`. */
export function callOptions(timeoutMs = 30_000): CallOptions {
  return { signal: AbortSignal.timeout(timeoutMs) };
}

/** Call options whose signal has already fired. */
export function abortedOptions(): CallOptions {
  return { signal: AbortSignal.abort() };
}

/** Awaits a rejection with one of `codes` and returns it. */
export async function expectCode(
  result: Promise<unknown> | (() => unknown),
  ...codes: readonly ErrorCode[]
): Promise<Error & { code: ErrorCode; details: Readonly<Record<string, unknown>> }> {
  const expected = codes.join(' or ');
  let value: unknown;
  try {
    value = await (typeof result === 'function' ? result() : result);
  } catch (error) {
    if (hasCode(error, ...codes)) return error;
    const received = isHyperplugError(error) ? `${error.code} (${error.message})` : String(error);
    throw new assert.AssertionError({ message: `expected ${expected}, got ${received}`, actual: error });
  }
  throw new assert.AssertionError({ message: `expected ${expected}, but it resolved`, actual: value });
}
