import { type CallOptions, raceSignal, withDeadline } from '../../calls.js';
import type { VmExit } from '../../hypervisor.js';
import { Vm } from '../../vm/vm.js';
import { NicTable } from '../nic-table.js';
import { consoleOf, type PodRecord, policyOf } from '../record.js';
import type { PodServices } from '../services.js';
import { endContainers } from './end-containers.js';
import { finishPod } from './finish.js';
import type { PodHold, PodHolds } from './holds.js';
import { withLock } from './settle.js';

export const DEFAULT_GRACE_MS = 10_000;

/** In the pod's turn. */
export async function stopPod(
  services: PodServices,
  holds: PodHolds,
  id: string,
  graceMs: number,
  call: CallOptions,
): Promise<PodRecord> {
  const held = holds.get(id);
  if (held) {
    await held.supervisor?.stop();
    const record = await stopHeld(services, held, graceMs, call);
    holds.forget(held);
    await held.lock.release();
    return record;
  }
  return withLock(services, id, `stop pod ${id}`, { signal: call.signal }, async (record, locked) => {
    if (record.state !== 'running' && record.state !== 'paused') return heldBack(services, record, locked);
    const { store, driver, agent } = services;
    const table = new NicTable(store, record);
    const stopping = await markStopping(services, table, locked);
    const vm = await adopt({ driver, agent }, stopping, record.state === 'paused', graceMs, locked);
    const exit = vm ? await end(vm, table, graceMs, locked) : KILLED;
    return finishPod(services, stopping, { exit, failure: null }, locked);
  });
}

/** Of one that has ended: it is not restarted. */
async function heldBack({ store }: PodServices, record: PodRecord, call: CallOptions): Promise<PodRecord> {
  const ended = record.state === 'exited' || record.state === 'failed';
  if (!ended || record.stopped || (policyOf(record) ?? 'never') === 'never') return record;
  return store.update(record.id, (now) => ({ ...now, stopped: true }), call);
}

async function stopHeld(
  services: PodServices,
  { vm, table }: PodHold,
  graceMs: number,
  call: CallOptions,
): Promise<PodRecord> {
  const paused = table.record.state === 'paused';
  const stopping = await markStopping(services, table, call);
  if (paused && graceMs > 0) await vm.hypervisor.resume(call).catch(() => {});
  const exit = await end(vm, table, graceMs, call);
  return finishPod(services, stopping, { exit, failure: null }, call);
}

/** Before anything is done: a manager that dies at it leaves a pod to be stopped by whoever looks next. */
async function markStopping({ host }: PodServices, table: NicTable, call: CallOptions): Promise<PodRecord> {
  const manager = await host.self();
  await table.update((now) => ({ ...now, state: 'stopping', manager }), call);
  return table.record;
}

const KILLED: VmExit = { reason: 'killed', exitCode: null, signal: null, stderrTail: '' };
const ADOPT_TIMEOUT_MS = 5_000;

/** undefined: its guest cannot be asked; it is ended by its record then. */
async function adopt(
  deps: { driver: PodServices['driver']; agent: PodServices['agent'] },
  record: PodRecord,
  paused: boolean,
  graceMs: number,
  call: CallOptions,
): Promise<Vm | undefined> {
  const { vm } = record;
  if (!vm || graceMs <= 0) return undefined;
  try {
    return await withDeadline('talk with the guest', ADOPT_TIMEOUT_MS, call.signal, async (limited) => {
      if (paused) {
        const hypervisor = await deps.driver.adopt(vm, limited);
        await hypervisor.resume(limited).finally(() => hypervisor.release());
      }
      return Vm.adopt(deps, vm, consoleOf(record), limited);
    });
  } catch (error) {
    if (call.signal.aborted) throw error;
    return undefined;
  }
}

/** Containers get their signals and their time; then the guest is asked to power off, and then its VM is killed. */
async function end(vm: Vm, table: NicTable, graceMs: number, call: CallOptions): Promise<VmExit> {
  if (graceMs > 0) {
    const due = performance.now() + graceMs;
    await polite('end of its containers', graceMs, call, (limited) => endContainers(vm, table, limited));
    const left = Math.max(due - performance.now(), Math.min(graceMs, POWER_OFF_MS));
    await polite('power-off of the guest', left, call, async (limited) => {
      await vm.session.destroyPod(limited);
      await raceSignal(vm.hypervisor.exited, limited.signal, 'power-off of the guest');
    });
  }
  return vm.kill(call);
}

const POWER_OFF_MS = 3_000;

/** What the guest does not do in its time is done without it. @throws when the caller's own time is over. */
async function polite(
  what: string,
  timeoutMs: number,
  call: CallOptions,
  body: (limited: CallOptions) => Promise<void>,
): Promise<void> {
  try {
    await withDeadline(what, timeoutMs, call.signal, body);
  } catch (error) {
    if (call.signal.aborted) throw error;
  }
}
