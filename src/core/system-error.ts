import { HyperplugError } from './errors.js';

/** An error of node:fs and the like, as HOST_IO with its path; anything else as it is. */
export function explainSystemError(error: unknown, what: string): unknown {
  const { code, syscall, path } = (error ?? {}) as NodeJS.ErrnoException;
  if (!(error instanceof Error) || typeof code !== 'string' || typeof syscall !== 'string') return error;
  const where = path === undefined || error.message.includes(path) ? '' : ` (${path})`;
  return new HyperplugError('HOST_IO', `${what}: ${error.message}${where}`, {
    cause: error,
    details: { code, syscall, path },
  });
}
