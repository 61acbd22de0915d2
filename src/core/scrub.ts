import { isHyperplugError } from './errors.js';

const REDACTED = '***';
const MAX_DEPTH = 8;
/** Keys under which environment variables stand; the names are kept, the values are not. */
const ENVIRONMENT = /^(?:envs?|environment)$/i;
const SECRET = /^(?:password|passphrase|secret|token|private_?key|authorization)$/i;

/**
 * A copy for the log: plain, bounded in depth, without environment values and what stands under the name of a secret.
 * Errors become objects with their code, details, cause and errors.
 */
export function scrubbed(value: unknown, depth = 0, above: readonly object[] = []): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (above.includes(value)) return '[circular]';
  if (depth > MAX_DEPTH) return '[deep]';
  const inner = (part: unknown) => scrubbed(part, depth + 1, [...above, value]);
  if (value instanceof Error) return plainError(value, inner);
  if (Array.isArray(value)) return value.map(inner);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function')
    return inner((value as { toJSON(): unknown }).toJSON());
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => {
      if (SECRET.test(key) && member !== undefined) return [key, REDACTED];
      return [key, ENVIRONMENT.test(key) ? withoutValues(member) : inner(member)];
    }),
  );
}

/** `{ A: 'b' }`, `['A=b']` or, as hyperd writes it, `[{ env: 'A', value: 'b' }]`. */
function withoutValues(environment: unknown): unknown {
  if (Array.isArray(environment)) {
    return environment.map((entry: unknown) => {
      if (typeof entry === 'string') return entry.replace(/=.*/s, `=${REDACTED}`);
      return typeof entry === 'object' && entry !== null && 'env' in entry
        ? { env: entry.env, value: REDACTED }
        : REDACTED;
    });
  }
  if (typeof environment !== 'object' || environment === null) return REDACTED;
  return Object.fromEntries(Object.keys(environment).map((name) => [name, REDACTED]));
}

function plainError(error: Error, inner: (part: unknown) => unknown): Record<string, unknown> {
  const { name, message, stack, cause } = error;
  const plain: Record<string, unknown> = { type: name, message, stack };
  const code = (error as { code?: unknown }).code;
  if (code !== undefined) plain.code = code;
  if (isHyperplugError(error)) {
    if (Object.keys(error.details).length > 0) plain.details = inner(error.details);
    if (error.errors.length > 0) plain.errors = inner(error.errors);
  } else if (error instanceof AggregateError) plain.errors = inner(error.errors);
  if (cause !== undefined) plain.cause = inner(cause);
  return plain;
}
