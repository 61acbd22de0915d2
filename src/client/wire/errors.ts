import { ERROR_CODES, type ErrorCode } from '../../core/error-codes.js';
import { HyperplugError, isHyperplugError } from '../../core/errors.js';

/** An error as the API tells it. */
export interface WireError {
  /** Of ERROR_CODES; a cause that is no error of ours has none. */
  readonly code?: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: WireError;
  /** Every error of a call that went on past the first. */
  readonly errors?: readonly WireError[];
}

/** Deeper chains than this have nothing to say. */
const MAX_DEPTH = 8;
const MAX_ERRORS = 256;

export function errorToWire(error: unknown, depth = 0): WireError {
  if (!(error instanceof Error)) return { message: String(error) };
  const known = isHyperplugError(error);
  const deeper = depth < MAX_DEPTH;
  return {
    ...(known && { code: error.code }),
    message: error.message,
    ...(known && Object.keys(error.details).length > 0 && { details: error.details }),
    ...(deeper && error.cause !== undefined && { cause: errorToWire(error.cause, depth + 1) }),
    ...(deeper &&
      known &&
      error.errors.length > 0 && {
        errors: error.errors.slice(0, MAX_ERRORS).map((one) => errorToWire(one, depth + 1)),
      }),
  };
}

/** The error that the daemon had. Anything that is not one is told as DAEMON_FAILED. */
export function errorFromWire(value: unknown, depth = 0): Error {
  const { code, message, details, cause, errors } = (typeof value === 'object' && value !== null ? value : {}) as {
    readonly [K in keyof WireError]?: unknown;
  };
  const text = typeof message === 'string' ? message : 'the daemon told of an error without words';
  const deeper = depth < MAX_DEPTH;
  const reason = deeper && cause !== undefined ? errorFromWire(cause, depth + 1) : undefined;
  if (typeof code !== 'string' && depth > 0) return new Error(text, reason && { cause: reason });
  return new HyperplugError(isErrorCode(code) ? code : 'DAEMON_FAILED', text, {
    ...(reason && { cause: reason }),
    ...(isRecord(details) && { details }),
    ...(deeper && Array.isArray(errors) && { errors: errors.map((one) => errorFromWire(one, depth + 1)) }),
  });
}

function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
