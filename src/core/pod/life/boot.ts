import { mkdir, rm } from 'node:fs/promises';
import type { GuestNic } from '../../agent.js';
import { type CallOptions, withDeadline } from '../../calls.js';
import { concurrently } from '../../concurrently.js';
import type { ContainerProcess } from '../../container.js';
import { fieldError } from '../../errors.js';
import type { HypervisorCapabilities } from '../../hypervisor.js';
import { loopShare } from '../../loop-share.js';
import { chooseEndpoint } from '../../registry/check-selection.js';
import type { BootWay } from '../../template/choice.js';
import { handOver, type PoolClone } from '../../template/pool-clone.js';
import type { UndoStack } from '../../undo.js';
import { consoleLogFrom } from '../../vm/console-tail.js';
import type { Vm } from '../../vm/vm.js';
import { NicTable } from '../nic-table.js';
import { type PlannedNic, plannedNic } from '../nics.js';
import type { PodRecord } from '../record.js';
import type { PodServices } from '../services.js';
import type { PodSpec } from '../spec.js';
import { bootVm, claimedVm, cloneVm, prepare } from './boot-vm.js';
import { plannedContainers } from './containers.js';
import { prepareStorage } from './storage.js';

const NETWORK_TIMEOUT_MS = 60_000;
/** Building an image may take minutes. */
const STORAGE_TIMEOUT_MS = 30 * 60_000;

export interface Booted {
  readonly vm: Vm;
  readonly table: NicTable;
  /** The record of a pod that was booted so. */
  readonly done: (record: PodRecord) => PodRecord;
}

/** What its record says of its NICs before anything is made: bootPod() is given the same. */
export const plannedNics = (services: PodServices, spec: PodSpec): readonly PlannedNic[] =>
  spec.interfaces.map((nic) => plannedNic(services, nic, spec.id, spec.allow));

/**
 * init → prepare → launch → add, as the original's CreateXPod. The pod's record stands in a passing state already, with
 * its NICs as `planned`, and says what is under way before it is; what is made is on `undo`. Resolves when the guest is as it was asked for: to write that
 * it runs is the caller's.
 */
export async function bootPod(
  services: PodServices,
  record: PodRecord,
  spec: PodSpec,
  way: BootWay,
  planned: readonly PlannedNic[],
  undo: UndoStack,
  signal: AbortSignal | undefined,
): Promise<Booted> {
  const { store, driver, backend } = services;
  const endpoint = chooseEndpoint(backend.capabilities, driver.capabilities);
  if (!endpoint) throw new TypeError(`${backend.name} and ${driver.name} share no kind of NIC endpoint`);
  const table = new NicTable(store, record);
  await services.host.confirmAhead?.(record, way.clone ? undefined : driver.name);
  undo.pushWhenClean('record of what it holds', (undoCall) =>
    table.update((now) => ({ ...now, nics: [], routes: [], vm: null, containers: [] }), undoCall),
  );
  const storage = await prepareStorage(services, spec, record.dataDir, {
    signal: signal ?? AbortSignal.timeout(STORAGE_TIMEOUT_MS),
  });
  const parts = { services, spec, way, storage, planned, table, endpoint, undo };
  const containers = plannedContainers(storage.containers);
  const nics = await withDeadline(`network of pod ${spec.id}`, NETWORK_TIMEOUT_MS, signal, async (call) => {
    // That of a clone takes the place of what there was; a pod that is being created had none before.
    const first = way.clone !== undefined || record.state === 'creating';
    const consoleStart = first ? 0 : (await consoleLogFrom(record.consoleLogPath)).start;
    if (containers.length > 0 || record.containers.length > 0 || consoleStart !== (record.consoleStart ?? 0)) {
      await table.update((now) => ({ ...now, containers, consoleStart }), call);
    }
    undo.push(record.runDir, () => rm(record.runDir, { recursive: true, force: true }));
    if (way.clone) await takeOver(way.clone, record, undo);
    else await mkdir(record.runDir, { recursive: true, mode: 0o700 });
    await loopShare.take();
    return driver.capabilities.coldplugNic && !way.template ? prepare(parts, undefined, undo, call) : [];
  });
  return withDeadline(`boot of pod ${spec.id}`, services.bootTimeoutMs, signal, async (call) => {
    await loopShare.take();
    const boot = way.clone ? claimedVm : way.template ? cloneVm : undefined;
    const { vm, guestNics } = await (boot ? boot(parts, call) : bootVm(parts, nics, call));
    for (const [index, nic] of table.list().entries()) table.sawGuest(nic.id, guestNics[index] as GuestNic);
    await startContainers(vm, table, call);
    return { vm, table, done: doneBy(guestNics) };
  });
}

/** What is true of the record now; it is written with the word that the pod runs, in one. */
function doneBy(guestNics: readonly GuestNic[]): Booted['done'] {
  const startedAt = new Date().toISOString();
  return (now) => ({
    ...now,
    nics: now.nics.map((nic, index) => ({ ...nic, state: 'ready', guestName: guestNics[index]?.name ?? null })),
    containers: now.containers.map((each) => (each.process ? { ...each, state: 'running', startedAt } : each)),
  });
}

/** The record names it: what told of the pool goes, and from now on it ends with its pod. */
async function takeOver(clone: PoolClone, { consoleLogPath }: PodRecord, undo: UndoStack): Promise<void> {
  undo.push('virtual machine', (call) => clone.vm.kill(call));
  await handOver(clone, consoleLogPath);
}

/** All at once, when the network is there. Their ends are the supervisor's to see, which comes later. */
async function startContainers(vm: Vm, table: NicTable, call: CallOptions): Promise<void> {
  const runnable = table.record.containers.filter(({ process }) => process !== null);
  if (runnable.length === 0) return;
  await vm.explained(() =>
    concurrently(
      runnable.map(
        ({ id, process }) =>
          (limited) =>
            vm.session.startContainer(id, process as ContainerProcess, limited),
      ),
      call,
    ),
  );
}

/** @throws VM_SPEC_INVALID */
export function checkLimits(spec: PodSpec, limits: HypervisorCapabilities): void {
  const bounded = (field: string, value: number, max: number) => {
    if (value > max) throw fieldError('VM_SPEC_INVALID', field, `at most ${max} (what the hypervisor can run)`, value);
  };
  bounded('resource.vcpu', spec.cpus, limits.maxCpus);
  bounded('resource.memory', spec.memoryMib, limits.maxMemoryMib);
  bounded('interfaces', spec.interfaces.length, limits.maxNics);
}
