import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '../../core/errors.js';
import type { GcFinding } from '../../core/gc/types.js';
import { acquireLock } from '../lock.js';

/** A builder that is at it has the lock for minutes; one that is not gives it at once. */
const LOCK_WAIT_MS = 200;

/** What killed builds of images and unpackings of packages left in the cache; each folder's own lock guards them. */
export async function tidyCache(folders: readonly string[], dryRun: boolean): Promise<GcFinding[]> {
  const findings: GcFinding[] = [];
  for (const folder of folders) {
    const left = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith('.tmp-'));
    if (left.length === 0) continue;
    const lock = dryRun ? undefined : await lockOf(folder);
    if (lock === 'busy') continue;
    for (const name of left) {
      const path = join(folder, name);
      const why = 'a build that died left it';
      if (!dryRun) await rm(path, { recursive: true, force: true });
      findings.push({ kind: 'cache', id: path, why, action: 'removed' });
    }
    await lock?.release();
  }
  return findings;
}

async function lockOf(folder: string) {
  const signal = AbortSignal.timeout(LOCK_WAIT_MS);
  try {
    return await acquireLock(join(folder, 'lock'), { signal, purpose: 'gc', exclusive: true });
  } catch (error) {
    if (hasCode(error, 'TIMEOUT')) return 'busy';
    throw error;
  }
}
