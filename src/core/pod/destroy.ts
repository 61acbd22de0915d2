import { rm } from 'node:fs/promises';
import type { CallOptions } from '../calls.js';
import { combineErrors, HyperplugError } from '../errors.js';
import { UndoStack } from '../undo.js';
import type { PodRecord } from './record.js';
import type { PodServices } from './services.js';

/**
 * Undoes all that a record tells of, held or not; goes on past failures. The record itself goes last and only if nothing
 * failed, so that a later call can go on.
 * @throws POD_CLEANUP_FAILED with every failure.
 */
export async function destroyPod(services: PodServices, record: PodRecord, options: CallOptions): Promise<void> {
  const { driver, backend, store } = services;
  checkMaker('hypervisor', record.hypervisor, driver.name, record.id);
  checkMaker('network', record.network, backend.name, record.id);
  await store.write({ ...record, state: 'removing' }, options);
  const undo = new UndoStack();
  undo.pushWhenClean('pod record', (call) => store.delete(record.id, call));
  for (const directory of [record.dataDir, record.runDir]) {
    undo.push(directory, () => rm(directory, { recursive: true, force: true }));
  }
  for (const nic of record.nics) {
    const { host, lease } = nic;
    const whole = lease && { ...lease, addresses: [] };
    if (whole) undo.push(`address of ${nic.id}`, (call) => backend.releaseAddress(whole, call));
    if (host) undo.push(`host side of ${nic.id}`, (call) => backend.detach(host, call));
  }
  const { vm, runDir } = record;
  undo.push('virtual machine', async (call) => (vm ? driver.destroy(vm, call) : driver.reap?.(runDir, call)));
  const errors = await undo.unwind();
  if (errors.length > 0) throw combineErrors('POD_CLEANUP_FAILED', `pod ${record.id} was not removed wholly`, errors);
}

/** What one plugin made only that one can undo. */
function checkMaker(kind: string, maker: string, configured: string, id: string): void {
  if (maker === configured) return;
  throw new HyperplugError(
    'PLUGIN_NOT_FOUND',
    `${kind} of pod ${id}: expected the plugin that made it, ${maker}, got ${configured}; configure ${maker} and remove it again`,
    { details: { field: kind, expected: maker, received: configured } },
  );
}
