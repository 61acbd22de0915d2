import { mkdir, rm } from 'node:fs/promises';
import type { CallOptions } from '../../calls.js';
import type { PoolClone } from '../../template/pool-clone.js';
import type { UndoStack } from '../../undo.js';
import type { NicRecord, PodRecord } from '../record.js';
import { type PodServices, podDirectories } from '../services.js';
import type { PodSpec } from '../spec.js';

/** Of a pod that is started at once. */
export interface Begun {
  readonly nics: readonly NicRecord[];
  readonly clone?: PoolClone | undefined;
}

/** A pod's record that is not in the store yet. */
export interface NewRecord {
  readonly record: PodRecord;
  /** In the store, for all that is known. */
  readonly written: boolean;
  /** @throws POD_ALREADY_EXISTS. */
  write(call: CallOptions): Promise<void>;
}

/** Record first, then the directory that survives stops. The pod's lock is held. @throws POD_ALREADY_EXISTS. */
export async function createRecord(
  services: PodServices,
  spec: PodSpec,
  undo: UndoStack,
  call: CallOptions,
): Promise<PodRecord> {
  const made = await newRecord(services, spec, undo);
  await made.write(call);
  await makeDataDir(made.record, undo);
  return made.record;
}

/** The directory that survives stops. */
export async function makeDataDir({ dataDir }: PodRecord, undo: UndoStack): Promise<void> {
  undo.push(dataDir, () => rm(dataDir, { recursive: true, force: true }));
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
}

/** Its undo takes away what write() has written. */
export async function newRecord(
  { store, host, driver, backend, directories }: PodServices,
  spec: PodSpec,
  undo: UndoStack,
  { nics, clone }: Begun = { nics: [] },
): Promise<NewRecord> {
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
  };
  let written = false;
  undo.pushWhenClean('pod record', async (undoCall) => {
    if (written) await store.delete(spec.id, undoCall);
  });
  return {
    record,
    get written() {
      return written;
    },
    async write(call) {
      await store.create(record, call);
      written = true;
    },
  };
}
