import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { CallOptions } from '../calls.js';
import type { VmTrace } from '../hypervisor.js';
import type { NicTrace } from '../network.js';
import type { GcServices } from './services.js';

/** All that says it is ours, by the pod it says it is of. */
export interface PodTraces {
  readonly nics: readonly NicTrace[];
  readonly vms: readonly VmTrace[];
  readonly directories: readonly string[];
  /** The path of its lock's file, if there is one. */
  readonly lock: string | undefined;
}

export interface Traces {
  readonly pods: ReadonlyMap<string, PodTraces>;
  /** Names of files of locks that are no pod's. */
  readonly locks: readonly string[];
}

const NONE: PodTraces = { nics: [], vms: [], directories: [], lock: undefined };
const LOCK = /^(.+)\.lock$/;
/** Not pods' locks. */
export const SHARED_LOCKS: readonly string[] = ['network.lock'];

export const tracesOf = (traces: Traces, id: string): PodTraces => traces.pods.get(id) ?? NONE;

export async function findTraces(services: GcServices, quick: boolean, call: CallOptions): Promise<Traces> {
  const { driver, backend, directories } = services.pods;
  const found = new Map<string, PodTraces>();
  const add = (id: string, parts: Partial<PodTraces>) => {
    const before = found.get(id) ?? NONE;
    found.set(id, {
      nics: [...before.nics, ...(parts.nics ?? [])],
      vms: [...before.vms, ...(parts.vms ?? [])],
      directories: [...before.directories, ...(parts.directories ?? [])],
      lock: parts.lock ?? before.lock,
    });
  };
  for (const parent of [join(directories.runtime, 'pods'), join(directories.state, 'pods')]) {
    for (const name of await names(parent)) add(name, { directories: [join(parent, name)] });
  }
  const locks = join(directories.runtime, 'locks');
  const files = await names(locks);
  const shared = files.filter((name) => SHARED_LOCKS.includes(name));
  for (const name of files) {
    const id = LOCK.exec(name)?.[1];
    if (id !== undefined && !SHARED_LOCKS.includes(name)) add(id, { lock: join(locks, name) });
  }
  if (quick) return { pods: found, locks: [] };
  const ours = join(directories.runtime, 'pods');
  for (const vm of (await driver.traces?.(call)) ?? []) {
    // Another runtime directory's are another's.
    if (dirname(vm.runDir) === ours) add(basename(vm.runDir), { vms: [vm] });
  }
  if (backend.traces) {
    await services.knowNetworks(call);
    for (const nic of await backend.traces(call)) add(nic.podId, { nics: [nic] });
  }
  return { pods: found, locks: shared };
}

async function names(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
