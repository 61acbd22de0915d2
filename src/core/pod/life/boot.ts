import { mkdir, rm } from 'node:fs/promises';
import type { GuestNic } from '../../agent.js';
import { type CallOptions, withDeadline } from '../../calls.js';
import { concurrently } from '../../concurrently.js';
import type { ContainerProcess } from '../../container.js';
import { fieldError } from '../../errors.js';
import type { GuestImage } from '../../guest-image.js';
import type { HypervisorCapabilities, VmSpec } from '../../hypervisor.js';
import { deepFreeze } from '../../json.js';
import { chooseEndpoint } from '../../registry/check-selection.js';
import type { UndoStack } from '../../undo.js';
import { Vm } from '../../vm/vm.js';
import { nicConfig, readBack } from '../guest-state.js';
import { LOOPBACK } from '../interface-spec.js';
import { NicTable } from '../nic-table.js';
import { type PreparedNic, plannedNic, prepareNics, seeForwards } from '../nics.js';
import type { PodRecord } from '../record.js';
import { defaultRoutes, guestRoute } from '../routes.js';
import { type PodServices, podDirectories } from '../services.js';
import type { PodSpec } from '../spec.js';
import { makeContents, plannedContainers } from './containers.js';
import { prepareStorage, type StoragePlan } from './storage.js';

const NETWORK_TIMEOUT_MS = 60_000;
/** Building an image may take minutes. */
const STORAGE_TIMEOUT_MS = 30 * 60_000;

export interface Booted {
  readonly vm: Vm;
  readonly table: NicTable;
}

/**
 * init → prepare → launch → add, as the original's CreateXPod. The pod's record stands in a passing state already, and says
 * what is under way before it is; what is made is on `undo`. Resolves when the guest is as it was asked for: to write that
 * it runs is the caller's.
 */
export async function bootPod(
  services: PodServices,
  record: PodRecord,
  spec: PodSpec,
  image: GuestImage,
  undo: UndoStack,
  signal: AbortSignal | undefined,
): Promise<Booted> {
  const { store, driver, backend, agent } = services;
  const endpoint = chooseEndpoint(backend.capabilities, driver.capabilities);
  if (!endpoint) throw new TypeError(`${backend.name} and ${driver.name} share no kind of NIC endpoint`);
  const { coldplugNic } = driver.capabilities;
  const table = new NicTable(store, record);
  const planned = spec.interfaces.map((nic) => plannedNic(nic, spec.id, backend.name));
  const prepare = async (netnsPath: string | undefined, call: CallOptions) => {
    const prepared = await prepareNics(
      { backend, endpoint, cpus: spec.cpus, netnsPath },
      planned.filter(({ spec: nic }) => nic.kind === 'network'),
      undo,
      call,
    );
    const made = new Map(prepared.map((nic) => [nic.record.id, nic.record]));
    const routable = prepared.map(({ record: { id, lease } }) => {
      return { id, lease, gateway: spec.interfaces.find((nic) => nic.id === id)?.gateway };
    });
    const routes = [...spec.routes, ...defaultRoutes(routable, spec.routes)];
    await table.update((now) => ({ ...now, nics: now.nics.map((nic) => made.get(nic.id) ?? nic), routes }), call);
    return prepared;
  };
  const storage = await prepareStorage(services, spec, record.dataDir, {
    signal: signal ?? AbortSignal.timeout(STORAGE_TIMEOUT_MS),
  });
  const containers = plannedContainers(storage.containers);
  const nics = await withDeadline(`network of pod ${spec.id}`, NETWORK_TIMEOUT_MS, signal, async (call) => {
    undo.pushWhenClean('record of what it holds', (undoCall) =>
      table.update((now) => ({ ...now, nics: [], routes: [], vm: null, containers: [] }), undoCall),
    );
    const nics = planned.map((nic) => nic.planned);
    await table.update((now) => ({ ...now, nics, routes: [], vm: null, containers }), call);
    undo.push(record.runDir, () => rm(record.runDir, { recursive: true, force: true }));
    await mkdir(record.runDir, { recursive: true, mode: 0o700 });
    return coldplugNic ? prepare(undefined, call) : [];
  });
  return withDeadline(`boot of pod ${spec.id}`, services.bootTimeoutMs, signal, async (call) => {
    const late: PreparedNic[] = [];
    const vm = await Vm.launch(
      { driver, agent },
      vmSpec(services, spec, image, nics, storage),
      undo,
      call,
      async (hypervisor, limited) => {
        // Not `running` before it is what was asked for: a manager that dies meanwhile leaves a half-made pod.
        const vmRecord = hypervisor.record();
        const written = table.update((now) => ({ ...now, vm: vmRecord }), limited);
        if (coldplugNic) {
          await Promise.all([written, ...nics.map((nic) => nic.host.handedOver())]);
          return;
        }
        await written;
        for (const nic of await prepare(hypervisor.netnsPath, limited)) {
          await hypervisor.attachNic(nic.vmNic, limited);
          await nic.host.handedOver();
          late.push(nic);
        }
      },
    );
    const [guestNics] = await concurrently<GuestNic[] | undefined>(
      [
        (limited) => configure(vm, spec, table.record, limited),
        (limited) => vm.explained(() => makeContents(vm.session, storage, spec.files, limited)).then(() => undefined),
      ],
      call,
    );
    await Promise.all(late.map((nic) => seeForwards(driver, vm.hypervisor, nic.vmNic, call)));
    const names = (guestNics ?? []).map((guest) => guest.name);
    await table.update(
      (now) => ({
        ...now,
        nics: now.nics.map((nic, index) => ({ ...nic, state: 'ready', guestName: names[index] ?? null })),
      }),
      call,
    );
    for (const [index, nic] of table.list().entries()) table.sawGuest(nic.id, guestNics?.[index] as GuestNic);
    await startContainers(vm, table, call);
    return { vm, table };
  });
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
  const startedAt = new Date().toISOString();
  await table.update(
    (now) => ({
      ...now,
      containers: now.containers.map((each) => (each.process ? { ...each, state: 'running', startedAt } : each)),
    }),
    call,
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

function vmSpec(
  services: PodServices,
  spec: PodSpec,
  image: GuestImage,
  nics: readonly PreparedNic[],
  storage: StoragePlan,
): VmSpec {
  const dirs = podDirectories(services.directories, spec.id);
  const { capabilities } = services.driver;
  // Those that come after the launch.
  const later = spec.interfaces.filter(({ kind }) => kind === 'network').length - nics.length;
  return deepFreeze({
    id: spec.id,
    cpus: spec.cpus,
    memoryMib: spec.memoryMib,
    kernelPath: image.kernelPath,
    initramfsPath: image.initramfsPath,
    ...(image.bareInitramfsPath !== undefined && { bareInitramfsPath: image.bareInitramfsPath }),
    kernelArgs: [...image.kernelArgs, ...services.kernelArgs],
    channels: services.agent.capabilities.channels,
    nics: nics.map((nic) => nic.vmNic),
    disks: storage.disks,
    shares: storage.shares,
    hotplugNicSlots: capabilities.hotplugNic ? Math.min(later + spec.nicSlots, capabilities.maxNics - nics.length) : 0,
    runDir: dirs.run,
    consoleLogPath: dirs.consoleLog,
    detached: spec.keep,
  });
}

async function configure(vm: Vm, spec: PodSpec, record: PodRecord, call: CallOptions): Promise<GuestNic[]> {
  const leased = record.nics.flatMap(({ lease }) => lease?.dns ?? []);
  const dns = spec.dns.length > 0 ? spec.dns : [...new Set(leased)];
  const { hostname, dnsSearch, dnsOptions } = spec;
  let number = 0;
  const configs = record.nics.map((nic) => nicConfig(nic, nic.kind === 'loopback' ? LOOPBACK : `eth${number++}`));
  const routes = record.routes.map((route) => guestRoute(route, record.nics));
  const guestNics = await vm.configure({ hostname, dns, dnsSearch, dnsOptions }, configs, routes, call);
  await vm.explained(() => readBack(vm.session, { present: record.nics, routes: record.routes }, record.nics, call));
  return guestNics;
}
