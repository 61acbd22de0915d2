import type { ErrorCode } from '../error-codes.js';

/** What was found. `pod`: a record; `nic`: of a pod that lives; the rest are things that no record tells of. */
export type GcKind =
  | 'pod'
  | 'nic'
  | 'record'
  | 'vm'
  | 'device'
  | 'address'
  | 'port'
  | 'directory'
  | 'lock'
  | 'network'
  | 'template'
  | 'cache'
  | 'socket';

export type GcAction =
  /** It lives and is as its record says. */
  | 'kept'
  /** Somebody is at it just now, it cannot be read, or another plugin made it: it was left alone. */
  | 'left'
  /** What a process that died had under way was brought to its end. */
  | 'finished'
  | 'removed'
  /** It was tried; `error` says what was in the way. */
  | 'failed';

export interface GcFinding {
  readonly kind: GcKind;
  /** A pod's id, a link's name, an address, a pid, a path. */
  readonly id: string;
  /** Whose it says it is. */
  readonly pod?: string;
  readonly nic?: string;
  /** One line. */
  readonly why: string;
  /** What was done; with `dryRun` what would be, as far as that can be known. */
  readonly action: GcAction;
  readonly error?: { readonly code?: ErrorCode; readonly message: string };
}

export interface GcReport {
  readonly dryRun: boolean;
  /** Pods first, by id; then what no record tells of. */
  readonly findings: readonly GcFinding[];
}

/** True: there was nothing to do, and nothing is left to do. */
export const isClean = ({ findings }: GcReport): boolean =>
  findings.every(({ action }) => action === 'kept' || action === 'left');
