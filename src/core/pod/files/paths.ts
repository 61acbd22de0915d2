import { posix } from 'node:path';
import { HyperplugError } from '../../errors.js';

/** PATH_MAX of linux/limits.h. */
const MAX_PATH_BYTES = 4096;

export interface NamedPath {
  /** Absolute in the guest, as it was given on the host; without slashes at its end. */
  readonly path: string;
  readonly parent: string;
  readonly name: string;
  /** `DIRECTORY/.`: what is in it. */
  readonly contents: boolean;
  /** It ended with a slash: it is to be a directory. */
  readonly slash: boolean;
}

/** A path of the guest; all begin at its root. */
export function guestPath(text: string): NamedPath {
  if (text === '' || text.includes('\0')) throw new TypeError(`path: expected a path, got ${JSON.stringify(text)}`);
  return named(text, posix.resolve('/', text), posix);
}

/** A path of the host, relative to where we are. */
export function hostPath(text: string, resolved: string): NamedPath {
  if (text === '' || text.includes('\0')) throw new TypeError(`path: expected a path, got ${JSON.stringify(text)}`);
  return named(text, resolved, posix);
}

function named(text: string, path: string, { dirname, basename }: typeof posix): NamedPath {
  return {
    path,
    parent: dirname(path),
    name: basename(path),
    // `/` and `..` have no name that could be given to a copy.
    contents: /(^|\/)\.$/.test(text) || path === '/' || /(^|\/)\.\.\/?$/.test(text),
    slash: text.endsWith('/'),
  };
}

/** The parts of a name in an archive. @throws POD_COPY_FAILED one that leads outside. */
export function parts(name: string): string[] {
  const all = name.split('/').filter((part) => part !== '' && part !== '.');
  const bad =
    name.startsWith('/') || all.includes('..') || name.includes('\0') || Buffer.byteLength(name) > MAX_PATH_BYTES;
  if (!bad) return all;
  throw new HyperplugError(
    'POD_COPY_FAILED',
    `archive: a name that leads outside of it: ${JSON.stringify(name.slice(0, 200))}`,
  );
}
