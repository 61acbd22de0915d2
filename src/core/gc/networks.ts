import { join } from 'node:path';
import { type CallOptions, withDeadline } from '../calls.js';
import { hasCode } from '../errors.js';
import { attempt } from './findings.js';
import type { GcRun } from './gc.js';
import type { GcServices } from './services.js';
import { SHARED_LOCKS } from './traces.js';
import type { GcFinding } from './types.js';

/** Networks that somebody began to make, or that pods which run have lost. Those that nobody has made stay unmade. */
export async function tidyNetworks(services: GcServices, run: GcRun, call: CallOptions): Promise<GcFinding[]> {
  const { backend, store } = services.pods;
  if (!backend.repair || backend.capabilities.hypervisorNetwork) return [];
  await services.knowNetworks(call);
  const findings: GcFinding[] = [];
  for (const { name, present, drift } of await backend.status(call)) {
    const [first, ...more] = drift;
    if (first === undefined) continue;
    if (present === false && !(await inUse(services, name, await store.list(call)))) continue;
    const why = more.length > 0 ? `${first}; and ${more.length} more` : first;
    const repair = async () => backend.repair?.(name, call);
    const finding = await attempt({ kind: 'network', id: name, why }, 'finished', run.dryRun, repair);
    // What somebody else made of it is not undone.
    findings.push(finding.error?.code === 'NET_INIT_FAILED' ? { ...finding, action: 'left' } : finding);
  }
  return findings;
}

async function inUse({ look }: GcServices, network: string, records: Parameters<GcServices['look']>[0][]) {
  for (const record of records) {
    if (!record.nics.some(({ lease }) => lease?.network === network)) continue;
    if ((await look(record)).state === 'lives') return true;
  }
  return false;
}

const SHORT_MS = 200;

/** Files of locks that are no pod's; one that is held goes with its holder. */
export async function tidyLocks(services: GcServices, run: GcRun, found: readonly string[], call: CallOptions) {
  const { pods, host } = services;
  const findings: GcFinding[] = [];
  for (const name of SHARED_LOCKS.filter((each) => found.includes(each))) {
    const path = join(pods.directories.runtime, 'locks', name);
    if (host.lockHolder(path)) continue;
    const thing = { kind: 'lock', id: path, why: 'nobody holds it' } as const;
    try {
      if (!run.dryRun) await removeLock(services, path, call);
      findings.push({ ...thing, action: 'removed' });
    } catch (error) {
      if (!hasCode(error, 'TIMEOUT')) throw error;
    }
  }
  return findings;
}

async function removeLock({ pods }: GcServices, path: string, call: CallOptions): Promise<void> {
  const lock = await withDeadline('gc', SHORT_MS, call.signal, ({ signal }) => pods.host.lock(path, 'gc', signal));
  await lock.release({ remove: true });
}
