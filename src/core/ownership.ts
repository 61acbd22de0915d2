import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';

/**
 * Tells the things of one state directory from those of another on the same machine: six letters and digits that follow
 * from its path, so that a state that was lost and begun anew still knows what is its own.
 */
export function ownerTag(stateDirectory: string): string {
  let path = resolve(stateDirectory);
  try {
    path = realpathSync(path);
  } catch {
    // Not made yet.
  }
  const value = createHash('sha256').update(`state directory\0${path}`).digest().readUInt32LE();
  return value.toString(36).padStart(6, '0').slice(-6);
}

/** How everything that is ours begins to say so: aliases of links, comments of rules. */
export const ownerMark = (owner: string | undefined): string =>
  owner === undefined ? 'hyperplug' : `hyperplug@${owner}`;
