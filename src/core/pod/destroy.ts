import { rm } from 'node:fs/promises';
import type { CallOptions } from '../calls.js';
import { combineErrors, HyperplugError, hasCode } from '../errors.js';
import type { HypervisorDriver } from '../hypervisor.js';
import { UndoStack } from '../undo.js';
import type { PodRecord } from './record.js';
import { type PodServices, podDirectories } from './services.js';

/**
 * Undoes all that a record tells of, held or not; goes on past failures. The record itself goes last and only if nothing
 * failed, so that a later call can go on.
 * @throws POD_CLEANUP_FAILED with every failure.
 */
export async function destroyPod(services: PodServices, record: PodRecord, options: CallOptions): Promise<void> {
  const { store, host } = services;
  const maker = await makerOf(services, record, options);
  const marked = await store.markRemoving(record.id, { manager: await host.self() }, options);
  const undo = new UndoStack();
  undo.pushWhenClean('pod record', (call) => store.delete(record.id, call, [{ pod: record.id, type: 'removed' }]));
  undo.push(record.dataDir, () => rm(record.dataDir, { recursive: true, force: true }));
  pushHeld(services, marked, maker, undo);
  const errors = await undo.unwind();
  if (errors.length > 0) throw combineErrors('POD_CLEANUP_FAILED', `pod ${record.id} was not removed wholly`, errors);
}

/**
 * Gives back what a pod holds while it runs: its VM, the host side of its NICs, addresses, ports, sockets. What survives a
 * stop (record, logs, disks) stays. Goes on past failures and returns them.
 */
export async function freePod(services: PodServices, record: PodRecord, maker: HypervisorDriver): Promise<unknown[]> {
  const undo = new UndoStack();
  pushHeld(services, record, maker, undo);
  return undo.unwind();
}

function pushHeld(
  { backend, directories }: PodServices,
  record: PodRecord,
  driver: HypervisorDriver,
  undo: UndoStack,
): void {
  const { vm, runDir } = record;
  // Of one from the pool: what is left of what it had there.
  const own = vm && vm.id !== record.id ? podDirectories(directories, vm.id).data : undefined;
  if (own !== undefined) undo.push(own, () => rm(own, { recursive: true, force: true }));
  undo.push(runDir, () => rm(runDir, { recursive: true, force: true }));
  for (const nic of record.nics) {
    const { host, lease } = nic;
    // Until its VM and device are known to be gone somebody may use the address.
    const whole = lease && { ...lease, addresses: [] };
    if (whole) undo.pushWhenClean(`address of ${nic.id}`, (call) => backend.releaseAddress(whole, call));
    if (host) undo.push(`host side of ${nic.id}`, (call) => backend.detach(host, call));
  }
  undo.push('virtual machine', async (call) => (vm ? driver.destroy(vm, call) : driver.reap?.(runDir, call)));
}

/** The hypervisor that made it, configured or not: its VM is ended by that one alone. @throws PLUGIN_NOT_FOUND */
export async function makerOf(services: PodServices, record: PodRecord, call: CallOptions): Promise<HypervisorDriver> {
  const { driver, backend, otherDriver } = services;
  const { hypervisor, network } = record;
  if (network !== backend.name) throw wrongMaker('network', record, backend.name);
  if (hypervisor === driver.name) return driver;
  try {
    if (otherDriver) return await otherDriver(hypervisor, call);
  } catch (error) {
    if (!hasCode(error, 'PLUGIN_NOT_FOUND')) throw error;
    throw wrongMaker('hypervisor', record, driver.name, error);
  }
  throw wrongMaker('hypervisor', record, driver.name);
}

/** @throws PLUGIN_NOT_FOUND what one plugin made only that one can undo. */
export function checkMakers({ driver, backend }: PodServices, record: PodRecord): void {
  if (record.hypervisor !== driver.name) throw wrongMaker('hypervisor', record, driver.name);
  if (record.network !== backend.name) throw wrongMaker('network', record, backend.name);
}

function wrongMaker(kind: 'hypervisor' | 'network', record: PodRecord, configured: string, cause?: unknown) {
  const { id, session, [kind]: maker } = record;
  const rootless = kind === 'network' && typeof session === 'string' ? ' or give --rootless' : '';
  const how = kind === 'hypervisor' ? ` or give --driver ${maker}` : rootless;
  return new HyperplugError(
    'PLUGIN_NOT_FOUND',
    `${kind} of pod ${id}: expected the plugin that made it, ${maker}, got ${configured}; configure ${maker}${how} and try again`,
    { ...(cause !== undefined && { cause }), details: { field: kind, expected: maker, received: configured } },
  );
}
