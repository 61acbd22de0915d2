import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CallOptions } from '../../core/calls.js';
import type { ProcessIdentity } from '../../core/hypervisor.js';
import { currentBootId, identifyProcess, processArgv, sameProcess } from '../process.js';
import { SlirpApi } from '../slirp-api.js';
import { processesIn } from './namespaces.js';
import type { SessionFiles, SessionRecord } from './record.js';
import { UPLINK } from './slirp.js';

/** The session as it was recorded, if its namespaces are still there. */
export function current(files: SessionFiles): SessionRecord | undefined {
  const record = files.read();
  if (record?.holder.bootId !== currentBootId()) return undefined;
  return sameProcess(record.holder) || survivor(files, record) ? record : undefined;
}

/** A process that keeps the namespaces of a dead holder there: a VM, or another that uses them. */
export function survivor(files: SessionFiles, { netns }: SessionRecord): ProcessIdentity | undefined {
  // Numbers of namespaces are used again. The device is gone where slirp4netns has died as well.
  return processesIn(netns).find(({ pid }) => hasUplink(pid) || uses(files, pid) || namesPods(files, pid));
}

/** Whether a process has the use lock open. */
function uses({ useLock }: SessionFiles, pid: number): boolean {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).some((fd) => readlinkSync(`${folder}/${fd}`) === useLock);
  } catch {
    // Gone, or a descriptor of it is.
    return false;
  }
}

/** Whether the directory of a pod is among a process's arguments, as it is among those of VMs. */
export function namesPods({ directory }: SessionFiles, pid: number): boolean {
  const pods = join(dirname(directory), 'pods/');
  return processArgv(pid)?.some((word) => word.includes(pods)) ?? false;
}

function hasUplink(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/net/dev`, 'latin1').includes(`${UPLINK}:`);
  } catch {
    return false;
  }
}

/** Holders and slirp4netns of this directory: a file of it is among their arguments. */
export function processesOf({ fifo, apiSocket }: SessionFiles): readonly ProcessIdentity[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => processArgv(pid)?.some((word) => word === fifo || word === `--api-socket=${apiSocket}`))
    .flatMap((pid) => identifyProcess(pid) ?? []);
}

/** Whether a process of a session that is there has died. */
export function hasLosses(files: SessionFiles): boolean {
  const record = current(files);
  return record !== undefined && [record.holder, record.slirp].some((each) => !each || !sameProcess(each));
}

/** What of a session has died, or is not as it should be, in words. */
export async function sessionDrift(files: SessionFiles, call: CallOptions): Promise<readonly string[]> {
  const record = files.read();
  if (!record) return ['rootless: expected a record of the session, there is none'];
  const drift: string[] = [];
  if (!sameProcess(record.holder)) {
    drift.push(`rootless: expected the holder of the namespace, process ${record.holder.pid}, it has died`);
  }
  if (!record.slirp || !sameProcess(record.slirp)) {
    drift.push(`rootless: expected slirp4netns, process ${record.slirp?.pid ?? 'none'}, it has died`);
  } else if (!(await new SlirpApi(files.apiSocket).answers(call))) {
    drift.push(`rootless: expected slirp4netns to answer at ${files.apiSocket}, it does not`);
  }
  return drift;
}
