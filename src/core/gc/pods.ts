import { basename } from 'node:path';
import type { CallOptions } from '../calls.js';
import { hasCode } from '../errors.js';
import type { PortMapping } from '../network.js';
import { lockPod } from '../pod/lock.js';
import type { NicRecord, PodRecord } from '../pod/record.js';
import { podDirectories } from '../pod/services.js';
import { attempt, failed } from './findings.js';
import type { GcRun } from './gc.js';
import { portText, removeNic } from './nics.js';
import type { GcServices } from './services.js';
import { type Traces, tracesOf } from './traces.js';
import type { GcFinding } from './types.js';

/** Pods that have a record. `known`: their ids, also of records that cannot be read: what these may own is left alone. */
export async function tidyPods(
  services: GcServices,
  traces: Traces,
  run: GcRun,
  call: CallOptions,
): Promise<{ findings: GcFinding[]; known: ReadonlySet<string> }> {
  const { store } = services.pods;
  const unreadable = await store.unreadable(call);
  const records = [...(await store.list(call))].sort((a, b) => (a.id < b.id ? -1 : 1));
  const findings: GcFinding[] = [];
  for (const record of records) findings.push(...(await tidyPod(services, record, traces, run, call)));
  for (const { id, why } of unreadable) {
    findings.push({ kind: 'record', id, pod: id, why: `${why}; it and what it may own are kept`, action: 'left' });
  }
  // A VM from the pool has kept its own directory.
  const places = records.map(({ runDir }) => basename(runDir));
  const known = new Set([...records.map(({ id }) => id), ...places, ...unreadable.map(({ id }) => id)]);
  return { findings, known };
}

async function tidyPod(
  services: GcServices,
  record: PodRecord,
  traces: Traces,
  run: GcRun,
  call: CallOptions,
): Promise<GcFinding[]> {
  const { id } = record;
  const verdict = await services.look(record);
  const pod = { kind: 'pod', id, pod: id, why: verdict.why } as const;
  if (verdict.state === 'busy') return [{ ...pod, action: 'left' }];
  if (verdict.state === 'settle') {
    let met = run.dryRun;
    const settle = () =>
      locked(services, record, call, async (now) => {
        // Whoever had the lock before may have settled it.
        met = (await services.look(now, true)).state === 'settle';
        await services.settle(now, call);
      });
    if (run.dryRun) {
      // It may have been brought to its end between our reading of the record and of the lock.
      const now = await services.pods.store.find(id, call);
      if (typeof now === 'string' || (await services.look(now)).state !== 'settle') return [];
    }
    const finding = await attempt(pod, verdict.removes ? 'removed' : 'finished', run.dryRun, settle);
    return met || finding.action === 'failed' || finding.action === 'left' ? [finding] : [];
  }
  if (run.quick) return [{ ...pod, action: 'kept' }];
  if (verdict.state === 'rests') {
    return [{ ...pod, action: 'kept' }, ...(await tidyResting(services, record, traces, run, call))];
  }
  const holder = services.host.lockHolder(podDirectories(services.pods.directories, id).lock);
  if (holder) return [{ ...pod, why: `${verdict.why}, held by process ${holder.pid}`, action: 'kept' }];
  return [{ ...pod, action: 'kept' }, ...(await tidyNics(services, record, traces, run, call))];
}

/** The pod does not run: its record tells of all that it holds. */
async function tidyResting(
  services: GcServices,
  record: PodRecord,
  traces: Traces,
  run: GcRun,
  call: CallOptions,
): Promise<GcFinding[]> {
  const { id } = record;
  const findings: GcFinding[] = [];
  const foreign = (now: PodRecord) =>
    tracesOf(traces, id).nics.filter(({ nicId }) => !now.nics.some((nic) => nic.id === nicId));
  if (record.network !== services.pods.backend.name || foreign(record).length === 0) return findings;
  const work = async (now: PodRecord) => {
    for (const trace of foreign(now)) {
      findings.push(...(await removeNic(services, trace, `pod ${id} does not run`, run, call)));
    }
  };
  try {
    await (run.dryRun ? work(record) : locked(services, record, call, work));
  } catch (error) {
    if (!hasCode(error, 'POD_BUSY')) throw error;
  }
  return findings;
}

/** The pod runs and nobody holds it: what is half done is finished, and what its record does not tell of goes. */
async function tidyNics(
  services: GcServices,
  record: PodRecord,
  traces: Traces,
  run: GcRun,
  call: CallOptions,
): Promise<GcFinding[]> {
  const { id } = record;
  const { backend } = services.pods;
  const findings: GcFinding[] = [];
  const underWay = record.nics.filter(({ state }) => state !== 'ready');
  for (const nic of underWay) {
    const why = `the process that was ${WORDS[nic.state] ?? nic.state} it died`;
    const thing = { kind: 'nic', id: nic.id, pod: id, nic: nic.id, why } as const;
    if (run.dryRun) findings.push({ ...thing, action: 'finished' });
  }
  if (underWay.length > 0 && !run.dryRun) {
    const why = 'the process that was changing its NICs died';
    const ids = underWay.map((nic) => nic.id).join(', ');
    const thing = { kind: 'nic', id: ids, pod: id, why } as const;
    findings.push(await attempt(thing, 'finished', false, () => services.settleNics(id, call)));
  }
  if (record.network !== backend.name || !backend.traces) return findings;
  const work = async (now: PodRecord) => {
    for (const trace of tracesOf(traces, id).nics) {
      // As it was before that was finished.
      if (underWay.some((nic) => nic.id === trace.nicId)) continue;
      const nic = now.nics.find((each) => each.id === trace.nicId);
      if (!nic) findings.push(...(await removeNic(services, trace, `pod ${id} has no NIC ${trace.nicId}`, run, call)));
      else if (nic.state === 'ready') findings.push(...(await tidyNic(services, nic, trace, run, call)));
    }
    findings.push(...(await publishMissing(services, now, traces, run, call)));
  };
  try {
    if (run.dryRun) await work(record);
    else await locked(services, record, call, work);
  } catch (error) {
    if (!hasCode(error, 'POD_BUSY', 'POD_NOT_FOUND'))
      findings.push(failed({ kind: 'pod', id, pod: id, why: 'its NICs' }, error));
  }
  return findings;
}

const WORDS: Readonly<Record<string, string>> = { adding: 'adding', changing: 'changing', removing: 'removing' };

/** Addresses and ports beyond the record's: taken or published by a process that died before it had written them down. */
async function tidyNic(
  { pods: { backend } }: GcServices,
  nic: NicRecord,
  trace: { readonly podId: string; readonly addresses: readonly string[]; readonly ports: readonly PortMapping[] },
  { dryRun }: GcRun,
  call: CallOptions,
): Promise<GcFinding[]> {
  const { lease, host } = nic;
  if (!lease || !host) return [];
  const whose = { pod: trace.podId, nic: nic.id };
  const findings: GcFinding[] = [];
  for (const address of trace.addresses) {
    if (lease.addresses.some((each) => each.address === address)) continue;
    const thing = { kind: 'address', id: address, ...whose, why: `NIC ${nic.id} does not have it` } as const;
    const prefixLength = lease.addresses[0]?.prefixLength ?? 0;
    const give = () => backend.releaseAddress({ ...lease, addresses: [{ address, prefixLength }] }, call);
    findings.push(await attempt(thing, 'removed', dryRun, give));
  }
  for (const mapping of trace.ports) {
    if (nic.ports.some((each) => samePort(each, mapping))) continue;
    const thing = { kind: 'port', id: portText(mapping), ...whose, why: `NIC ${nic.id} does not publish it` } as const;
    findings.push(await attempt(thing, 'removed', dryRun, async () => backend.unpublish?.(host, [mapping], call)));
  }
  return findings;
}

/** What the record says is published, and is not: its process died in between, or somebody flushed the rules. */
async function publishMissing(
  { pods: { backend } }: GcServices,
  record: PodRecord,
  traces: Traces,
  { dryRun }: GcRun,
  call: CallOptions,
): Promise<GcFinding[]> {
  const findings: GcFinding[] = [];
  if (!backend.publish) return findings;
  for (const { id, lease, host, ports, state } of record.nics) {
    if (!lease || !host || state !== 'ready') continue;
    const trace = tracesOf(traces, record.id).nics.find(({ nicId }) => nicId === id);
    for (const mapping of ports) {
      if (trace?.ports.some((each) => samePort(each, mapping))) continue;
      const why = `NIC ${id} publishes it, and its rules were not there`;
      const thing = { kind: 'port', id: portText(mapping), pod: record.id, nic: id, why } as const;
      const publish = async () => backend.publish?.(host, lease, [mapping], call);
      findings.push(await attempt(thing, 'finished', dryRun, publish));
    }
  }
  return findings;
}

/** With the pod's lock, on the record as it is now. @throws POD_BUSY, POD_NOT_FOUND it is another one's by now. */
async function locked(
  { pods }: GcServices,
  record: PodRecord,
  call: CallOptions,
  body: (now: PodRecord) => Promise<void>,
): Promise<void> {
  const path = podDirectories(pods.directories, record.id).lock;
  const lock = await lockPod(pods.host, path, record.id, `gc of pod ${record.id}`, call.signal);
  try {
    const now = await pods.store.read(record.id, call).catch((error: unknown) => {
      if (hasCode(error, 'POD_NOT_FOUND')) return undefined;
      throw error;
    });
    if (now?.createdAt === record.createdAt) await body(now);
    // Its record gone, nobody needs its lock's file.
    const left = await pods.store.find(record.id, call);
    await lock.release({ remove: left === 'none' });
  } finally {
    await lock.release();
  }
}

const samePort = (a: PortMapping, b: PortMapping) =>
  a.protocol === b.protocol &&
  a.hostAddress === b.hostAddress &&
  a.hostPort === b.hostPort &&
  a.guestPort === b.guestPort;
