import { HyperplugError, isHyperplugError } from '../../core/errors.js';

export function invalid(what: string, details: Readonly<Record<string, unknown>> = {}): HyperplugError {
  return new HyperplugError('ROOTFS_INVALID', what, { details });
}

/** For what a source says of itself or turns out to be: a broken archive, a file that is not there. */
export function sourceError(path: string, cause: unknown): unknown {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (isHyperplugError(cause)) {
    // The archive reader's errors are those of copies.
    return cause.code === 'POD_COPY_FAILED' ? invalid(`${path}: ${cause.message}`, { path }) : cause;
  }
  if (code === 'ENOENT' || code === 'EACCES' || code === 'ENOTDIR' || code === 'EISDIR' || code === 'ELOOP') {
    return new HyperplugError('ROOTFS_NOT_FOUND', `${path}: cannot be read: ${message}`, { cause, details: { path } });
  }
  if (typeof code === 'string' && /^(Z_|ERR_)/.test(code)) return invalid(`${path}: ${message}`, { path });
  return cause;
}
