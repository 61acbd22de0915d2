import { mkdir, rm } from 'node:fs/promises';
import type { CallOptions } from '../../calls.js';
import type { PoolClone } from '../../template/pool-clone.js';
import type { UndoStack } from '../../undo.js';
import type { NicRecord, PodRecord } from '../record.js';
import { type PodServices, podDirectories } from '../services.js';
import type { PodSpec } from '../spec.js';

/**
 * Record first, then the directory that survives stops. The pod's lock is held. `begun`: of a pod that is started at once.
 * @throws POD_ALREADY_EXISTS.
 */
export async function createRecord(
  { store, host, driver, backend, directories }: PodServices,
  spec: PodSpec,
  undo: UndoStack,
  call: CallOptions,
  begun: { readonly nics: readonly NicRecord[]; readonly clone?: PoolClone | undefined } = { nics: [] },
): Promise<PodRecord> {
  const { nics, clone } = begun;
  const dirs = podDirectories(directories, spec.id);
  const record: PodRecord = {
    version: 2,
    id: spec.id,
    state: 'creating',
    createdAt: new Date().toISOString(),
    startedAt: null,
    finishedAt: null,
    exit: null,
    failure: null,
    manager: await host.self(),
    hypervisor: driver.name,
    network: backend.name,
    hostname: spec.hostname,
    cpus: spec.cpus,
    memoryMib: spec.memoryMib,
    keep: spec.keep,
    labels: spec.labels,
    spec: spec.json,
    // By this the clone is the pod's: whoever finds it now finds whose it is.
    runDir: clone?.runDir ?? dirs.run,
    dataDir: dirs.data,
    consoleLogPath: dirs.consoleLog,
    nics,
    routes: [],
    vm: clone?.vm.hypervisor.record() ?? null,
    containers: [],
    restarts: 0,
    session: host.session ?? null,
  };
  await store.create(record, call);
  undo.pushWhenClean('pod record', (undoCall) => store.delete(spec.id, undoCall));
  undo.push(dirs.data, () => rm(dirs.data, { recursive: true, force: true }));
  await mkdir(dirs.data, { recursive: true, mode: 0o700 });
  return record;
}
