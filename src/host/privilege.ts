import { readFileSync } from 'node:fs';

/** A line of /proc/PID/uid_map (user_namespaces(7)): `inside` is `outside`, and so on for `count` ids. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

export function parseIdMap(text: string): readonly IdRange[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter((fields) => fields.length === 3)
    .map(([inside = 0, outside = 0, count = 0]) => ({ inside, outside, count }));
}

let map: readonly IdRange[] | undefined;

/** Of this process, which cannot change it. */
function ownMap(): readonly IdRange[] {
  map ??= parseIdMap(readFileSync('/proc/self/uid_map', 'utf8'));
  return map;
}

const isRoot = () => process.getuid?.() === 0;

/** In a user namespace that holds one user alone, who is called root there and has that power over nothing else. */
export function isRootOfItselfAlone(): boolean {
  return isRoot() && ownMap().reduce((sum, { count }) => sum + count, 0) === 1;
}

/** Root, as far as that goes: of the machine or of a container. Can become other users, and owns the system's directories. */
export const hasRoot = (): boolean => isRoot() && !isRootOfItselfAlone();

/** This process's user as the namespace above has it. */
export function userAbove(): number {
  const uid = process.getuid?.() ?? 0;
  if (!isRootOfItselfAlone()) return uid;
  return ownMap()[0]?.outside ?? uid;
}
