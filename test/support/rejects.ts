import { expect } from 'chai';
import type { ErrorCode } from '../../src/core/error-codes.js';
import { type HyperplugError, isHyperplugError } from '../../src/core/errors.js';

function check(error: unknown, code: ErrorCode, parts: readonly (string | RegExp)[]): HyperplugError {
  if (!isHyperplugError(error)) throw error;
  expect(error.code, error.message).to.equal(code);
  for (const part of parts) {
    if (typeof part === 'string') expect(error.message).to.include(part);
    else expect(error.message).to.match(part);
  }
  return error;
}

/** The HyperplugError that `body` throws: of this code, its message with all these parts. */
export function throws(body: () => unknown, code: ErrorCode, ...parts: (string | RegExp)[]): HyperplugError {
  let result: unknown;
  try {
    result = body();
  } catch (error) {
    return check(error, code, parts);
  }
  throw new Error(`expected ${code}, but it returned ${String(result)}`);
}

/** The same for a promise. */
export async function rejects(
  promise: Promise<unknown>,
  code: ErrorCode,
  ...parts: (string | RegExp)[]
): Promise<HyperplugError> {
  let result: unknown;
  try {
    result = await promise;
  } catch (error) {
    return check(error, code, parts);
  }
  throw new Error(`expected ${code}, but it resolved to ${String(result)}`);
}
