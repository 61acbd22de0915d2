import type { CallOptions } from '../../calls.js';
import type { PodRecord } from '../record.js';
import type { PodServices } from '../services.js';
import { notRunning, type PodHolds } from './holds.js';
import { withLock } from './settle.js';

/** In the pod's turn. @throws POD_NOT_RUNNING, NOT_SUPPORTED. */
export async function pausePod(
  services: PodServices,
  holds: PodHolds,
  id: string,
  call: CallOptions,
): Promise<PodRecord> {
  return onVm(services, holds, id, 'pause', call, async (vm, state, update) => {
    if (state === 'paused') return;
    // The record first: one that says paused of a VM that runs is put right by a resume, which is no error then.
    await update('paused');
    try {
      await vm.pause(call);
    } catch (error) {
      await update('running');
      throw error;
    }
    await update('paused', 'paused');
  });
}

export async function resumePod(
  services: PodServices,
  holds: PodHolds,
  id: string,
  call: CallOptions,
): Promise<PodRecord> {
  return onVm(services, holds, id, 'resume', call, async (vm, state, update) => {
    if (state === 'running') return;
    await vm.resume(call);
    await update('running', 'resumed');
  });
}

interface Pausable {
  pause(options: CallOptions): Promise<void>;
  resume(options: CallOptions): Promise<void>;
}

type Body = (
  vm: Pausable,
  state: 'running' | 'paused',
  update: (state: 'running' | 'paused', event?: 'paused' | 'resumed') => Promise<void>,
) => Promise<void>;

async function onVm(
  services: PodServices,
  holds: PodHolds,
  id: string,
  what: string,
  call: CallOptions,
  body: Body,
): Promise<PodRecord> {
  const { store, driver } = services;
  const events = (type: 'paused' | 'resumed' | undefined) => (type ? [{ pod: id, type }] : []);
  const hold = holds.get(id);
  if (hold) {
    const { table, vm } = hold;
    await body(vm.hypervisor, runningOrPaused(table.record), (state, event) =>
      table.update((now) => ({ ...now, state }), call, events(event)),
    );
    return table.record;
  }
  return withLock(services, id, `${what} pod ${id}`, { signal: call.signal }, async (record, locked) => {
    const before = runningOrPaused(record);
    let after = record;
    const vm = record.vm && (await driver.adopt(record.vm, locked));
    if (!vm) throw notRunning(id, record.state);
    try {
      await body(vm, before, async (state, event) => {
        after = await store.update(id, (now) => ({ ...now, state }), locked, events(event));
      });
    } finally {
      await vm.release();
    }
    return after;
  });
}

function runningOrPaused({ id, state }: PodRecord): 'running' | 'paused' {
  if (state === 'running' || state === 'paused') return state;
  throw notRunning(id, state);
}
