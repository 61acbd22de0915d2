import { usageError } from '../errors.js';

/** A place that is copied from or to. */
export type CopyPlace =
  | { readonly kind: 'pod'; readonly pod: string; readonly path: string }
  | { readonly kind: 'host'; readonly path: string }
  /** Standard input or output, as a tar archive. */
  | { readonly kind: 'stream' };

const POD = /^([a-z0-9][a-z0-9-]{0,62}):(.*)$/s;

/** `POD:PATH`, a path of the host (with a colon in its first part: `./a:b`), or `-`. */
export function parsePlace(text: string): CopyPlace {
  if (text === '-') return { kind: 'stream' };
  const [, pod, path] = POD.exec(text) ?? [];
  if (pod === undefined || path === undefined) return { kind: 'host', path: text };
  return { kind: 'pod', pod, path: path === '' ? '/' : path };
}

const ONE_POD = 'hyperplug cp SRC POD:PATH, or hyperplug cp POD:PATH DEST';

/** Exactly one of them is in a pod. @throws CLI_USAGE */
export function parseCopy(source: string, destination: string) {
  const [from, to] = [parsePlace(source), parsePlace(destination)];
  if (source === '' || destination === '') throw usageError('a path is empty', ONE_POD);
  if (from.kind === 'pod' && to.kind !== 'pod') return { way: 'out', pod: from, other: to } as const;
  if (to.kind === 'pod' && from.kind !== 'pod') return { way: 'in', pod: to, other: from } as const;
  throw usageError(`one of SRC and DEST is to be in a pod, got ${source} and ${destination}`, ONE_POD);
}
