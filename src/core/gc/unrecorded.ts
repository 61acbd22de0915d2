import { basename } from 'node:path';
import type { CallOptions } from '../calls.js';
import type { PodRecord } from '../pod/record.js';
import type { GcServices } from './services.js';
import { removeStrays } from './strays.js';
import { findTraces } from './traces.js';
import type { GcFinding } from './types.js';

/**
 * Directories of pods, to be seen before the records are: one that has no record then, and no lock that is held, is nobody's:
 * its record was lost with the machine's last moments, or what removed it died before the rest was gone.
 */
export async function directoriesSeen(services: GcServices, call: CallOptions) {
  const { pods, locks } = await findTraces(services, true, call);
  const placed = new Map([...pods].filter(([, { directories }]) => directories.length > 0));
  return {
    /** With all that is in them, a VM among it. */
    async removeUnknown(records: readonly PodRecord[]): Promise<readonly GcFinding[]> {
      const known = new Set(records.flatMap(({ id, runDir }) => [id, basename(runDir)]));
      if ([...placed.keys()].every((id) => known.has(id))) return [];
      for (const { id } of await services.pods.store.unreadable(call)) known.add(id);
      return removeStrays(services, { pods: placed, locks }, known, { dryRun: false, quick: true }, call);
    },
  };
}
