import { mkdir, rm } from 'node:fs/promises';
import type { GuestNic } from '../agent.js';
import { type CallOptions, type UserCallOptions, withDeadline } from '../calls.js';
import { fieldError } from '../errors.js';
import type { GuestImage } from '../guest-image.js';
import type { HeldLock } from '../host-services.js';
import type { HypervisorCapabilities, VmSpec } from '../hypervisor.js';
import { deepFreeze } from '../json.js';
import { chooseEndpoint } from '../registry/check-selection.js';
import { explainSystemError } from '../system-error.js';
import { UndoStack } from '../undo.js';
import { Vm } from '../vm/vm.js';
import { destroyPod } from './destroy.js';
import { nicConfig, readBack } from './guest-state.js';
import { HeldPod } from './held-pod.js';
import { LOOPBACK } from './interface-spec.js';
import { lockPod } from './lock.js';
import { NicTable } from './nic-table.js';
import { type PreparedNic, plannedNic, prepareNics } from './nics.js';
import { PodNetwork } from './pod-network.js';
import type { PodRecord } from './record.js';
import { defaultRoutes, guestRoute } from './routes.js';
import { type PodServices, podDirectories } from './services.js';
import type { PodSpec } from './spec.js';

const NETWORK_TIMEOUT_MS = 60_000;

/**
 * init → prepare → launch → add, as the original's CreateXPod; one failure undoes all that was made.
 * The record says what is under way before it is.
 */
export async function createPod(services: PodServices, spec: PodSpec, options: UserCallOptions): Promise<HeldPod> {
  const { store, host, driver, backend, agent } = services;
  const signal = options.signal;
  checkLimits(spec, driver.capabilities);
  const endpoint = chooseEndpoint(backend.capabilities, driver.capabilities);
  if (!endpoint) throw new TypeError(`${backend.name} and ${driver.name} share no kind of NIC endpoint`);
  const dirs = podDirectories(services.directories, spec.id);
  const undo = new UndoStack();
  try {
    // Building the image may take minutes and has its own deadlines; nothing has been made yet.
    const image = await services.image(signal);
    const lock = await lockPod(host, dirs.lock, spec.id, `pod ${spec.id}`, signal);
    undo.push('pod lock', () => lock.release({ remove: true }));
    const planned = spec.interfaces.map((nic) => plannedNic(nic, spec.id, backend.name));
    let record: PodRecord = {
      version: 1,
      id: spec.id,
      state: 'creating',
      createdAt: new Date().toISOString(),
      manager: await host.self(),
      hypervisor: driver.name,
      network: backend.name,
      cpus: spec.cpus,
      memoryMib: spec.memoryMib,
      keep: spec.keep,
      labels: spec.labels,
      runDir: dirs.run,
      dataDir: dirs.data,
      consoleLogPath: dirs.consoleLog,
      nics: planned.map((nic) => nic.planned),
      routes: [],
      vm: null,
    };
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
      record = {
        ...record,
        nics: record.nics.map((nic) => made.get(nic.id) ?? nic),
        routes: defaultRoutes(routable, []),
      };
      return prepared;
    };
    const { coldplugNic } = driver.capabilities;
    const nics = await withDeadline(`network of pod ${spec.id}`, NETWORK_TIMEOUT_MS, signal, async (call) => {
      await store.create(record, call);
      undo.pushWhenClean('pod record', (undoCall) => store.delete(spec.id, undoCall));
      for (const directory of [dirs.run, dirs.data]) {
        undo.push(directory, () => rm(directory, { recursive: true, force: true }));
        await mkdir(directory, { recursive: true, mode: 0o700 });
      }
      if (!coldplugNic) return [];
      const prepared = await prepare(undefined, call);
      await store.write(record, call);
      return prepared;
    });
    return await withDeadline(`boot of pod ${spec.id}`, services.bootTimeoutMs, signal, async (call) => {
      const vm = await Vm.launch(
        { driver, agent },
        vmSpec(services, spec, image, nics),
        undo,
        call,
        async (hypervisor, limited) => {
          // Not `running` before it is what was asked for: a manager that dies meanwhile leaves a half-made pod.
          record = { ...record, vm: hypervisor.record() };
          if (coldplugNic) {
            await Promise.all([store.write(record, limited), ...nics.map((nic) => nic.host.handedOver())]);
            return;
          }
          await store.write(record, limited);
          const prepared = await prepare(hypervisor.netnsPath, limited);
          await store.write(record, limited);
          for (const nic of prepared) {
            await hypervisor.attachNic(nic.vmNic, limited);
            await nic.host.handedOver();
          }
        },
      );
      const guestNics = await configure(vm, spec, record, call);
      record = {
        ...record,
        state: 'running',
        nics: record.nics.map((nic, index) => ({ ...nic, state: 'ready', guestName: guestNics[index]?.name ?? null })),
      };
      await store.write(record, call);
      const table = new NicTable(store, record);
      for (const [index, nic] of record.nics.entries()) table.sawGuest(nic.id, guestNics[index] as GuestNic);
      return new HeldPod({
        id: spec.id,
        vm,
        network: new PodNetwork({ services, vm, table }),
        consoleLogPath: dirs.consoleLog,
        keep: spec.keep,
        remove: (removal) => removeHeld(services, vm, table, lock, removal),
        letGo: () => lock.release(),
      });
    });
  } catch (error) {
    const cause = explainSystemError(error, `pod ${spec.id}`);
    throw await undo.fail('POD_CLEANUP_FAILED', `pod ${spec.id} could not be created, nor undone wholly`, cause);
  }
}

/** Ends a pod that this process holds, by its record: that one knows what has come and gone since it was created. */
export async function removeHeld(
  services: PodServices,
  vm: Vm,
  table: NicTable,
  lock: HeldLock,
  call: CallOptions,
): Promise<void> {
  try {
    // Should this fail, destroyPod() ends it by its record, and reports what cannot be ended.
    await vm.kill(call).catch(() => {});
    await destroyPod(services, table.record, call);
    await lock.release({ remove: true });
  } finally {
    await lock.release();
  }
}

function checkLimits(spec: PodSpec, limits: HypervisorCapabilities): void {
  const bounded = (field: string, value: number, max: number) => {
    if (value > max) throw fieldError('VM_SPEC_INVALID', field, `at most ${max} (what the hypervisor can run)`, value);
  };
  bounded('resource.vcpu', spec.cpus, limits.maxCpus);
  bounded('resource.memory', spec.memoryMib, limits.maxMemoryMib);
  bounded('interfaces', spec.interfaces.length, limits.maxNics);
}

function vmSpec(services: PodServices, spec: PodSpec, image: GuestImage, nics: readonly PreparedNic[]): VmSpec {
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
    kernelArgs: [...image.kernelArgs, ...services.kernelArgs],
    channels: services.agent.capabilities.channels,
    nics: nics.map((nic) => nic.vmNic),
    disks: [],
    shares: [],
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
