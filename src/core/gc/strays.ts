import { rm } from 'node:fs/promises';
import { basename } from 'node:path';
import type { CallOptions } from '../calls.js';
import { hasCode } from '../errors.js';
import { lockPod } from '../pod/lock.js';
import { podDirectories } from '../pod/services.js';
import { attempt, failed } from './findings.js';
import type { GcRun } from './gc.js';
import { removeNic } from './nics.js';
import type { GcServices } from './services.js';
import { findTraces, type PodTraces, type Traces, tracesOf } from './traces.js';
import type { GcFinding } from './types.js';

const NO_RECORD = 'no record tells of its pod';

/** What says that it is of a pod that has no record. */
export async function removeStrays(
  services: GcServices,
  traces: Traces,
  known: ReadonlySet<string>,
  run: GcRun,
  call: CallOptions,
): Promise<GcFinding[]> {
  const findings: GcFinding[] = [];
  for (const [id, of] of traces.pods) {
    if (known.has(id)) continue;
    const { pods, host } = services;
    const path = podDirectories(pods.directories, id).lock;
    const holder = host.lockHolder(path);
    if (holder) {
      findings.push({ kind: 'pod', id, pod: id, why: `process ${holder.pid} is at it`, action: 'left' });
      continue;
    }
    if (run.dryRun) {
      findings.push(...(await removeAll(services, id, of, run, call)));
      continue;
    }
    try {
      const lock = await lockPod(pods.host, path, id, `gc of ${id}`, call.signal);
      try {
        // Whoever held the lock before may have made its record.
        if ((await pods.store.find(id, call)) !== 'none') continue;
        // Or have claimed it for a pod of another id.
        if ((await pods.store.list(call)).some(({ runDir }) => basename(runDir) === id)) continue;
        // Whoever had it may have removed all of it since.
        const now = tracesOf(await findTraces(services, run.quick ?? false, call), id);
        const removed = await removeAll(services, id, now, run, call);
        findings.push(...removed);
        await lock.release({ remove: removed.every(({ action }) => action === 'removed') });
      } finally {
        await lock.release();
      }
    } catch (error) {
      if (hasCode(error, 'ABORTED')) throw error;
      const action = hasCode(error, 'POD_BUSY') ? 'left' : 'failed';
      findings.push({ ...failed({ kind: 'pod', id, pod: id, why: NO_RECORD }, error), action });
    }
  }
  return findings;
}

/** The VM, then what it may use, then where it stood; each only when the one before is known to be gone. */
async function removeAll(
  services: GcServices,
  id: string,
  { nics, vms, directories, lock }: PodTraces,
  run: GcRun,
  call: CallOptions,
): Promise<GcFinding[]> {
  const { pods, host } = services;
  const { driver } = pods;
  const { run: runDir } = podDirectories(pods.directories, id);
  const findings: GcFinding[] = [];
  const ended = () => findings.every(({ action }) => action === 'removed');
  for (const { process } of vms) {
    const thing = { kind: 'vm', id: String(process.pid), pod: id, why: NO_RECORD } as const;
    findings.push(await attempt(thing, 'removed', run.dryRun, async () => driver.reap?.(runDir, call)));
  }
  const inRunDir = directories.includes(runDir);
  if (inRunDir && vms.length === 0) {
    // By its files it may know one that cannot be seen by its marks.
    const thing = { kind: 'directory', id: runDir, pod: id, why: NO_RECORD } as const;
    const reaped = await attempt(thing, 'removed', run.dryRun, async () => driver.reap?.(runDir, call));
    if (reaped.action !== 'removed') findings.push(reaped);
  }
  const left = run.dryRun && vms.length > 0 ? [] : host.processesNaming(runDir);
  for (const { pid } of left) {
    const why = `it names ${runDir}, and is not known to hypervisor ${driver.name}: configure the plugin that made it`;
    findings.push({ kind: 'vm', id: String(pid), pod: id, why, action: 'left' });
  }
  if (!ended()) return findings;
  for (const nic of nics) findings.push(...(await removeNic(services, nic, NO_RECORD, run, call)));
  if (!ended()) return findings;
  for (const path of directories) {
    const thing = { kind: 'directory', id: path, pod: id, why: NO_RECORD } as const;
    findings.push(await attempt(thing, 'removed', run.dryRun, () => rm(path, { recursive: true, force: true })));
  }
  if (lock !== undefined) {
    // The file goes as the lock is released.
    findings.push({
      kind: 'lock',
      id: lock,
      pod: id,
      why: 'nobody holds it, and there is no such pod',
      action: 'removed',
    });
  }
  return findings;
}
