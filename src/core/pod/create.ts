import { mkdir, rm } from 'node:fs/promises';
import { type CallOptions, type UserCallOptions, withDeadline } from '../calls.js';
import { combineErrors, fieldError } from '../errors.js';
import type { GuestImage } from '../guest-image.js';
import type { HypervisorCapabilities, VmSpec } from '../hypervisor.js';
import { deepFreeze } from '../json.js';
import { chooseEndpoint } from '../registry/check-selection.js';
import { explainSystemError } from '../system-error.js';
import { UndoStack } from '../undo.js';
import { Vm } from '../vm/vm.js';
import { HeldPod } from './held-pod.js';
import { lockPod } from './lock.js';
import { type PreparedNic, plannedNic, prepareNics } from './nics.js';
import type { PodRecord } from './record.js';
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
    const planned = spec.interfaces.map((nic) => ({ spec: nic, planned: plannedNic(nic, spec.id) }));
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
      vm: null,
    };
    const nics = await withDeadline(`network of pod ${spec.id}`, NETWORK_TIMEOUT_MS, signal, async (call) => {
      await store.create(record, call);
      undo.pushWhenClean('pod record', (undoCall) => store.delete(spec.id, undoCall));
      for (const directory of [dirs.run, dirs.data]) {
        undo.push(directory, () => rm(directory, { recursive: true, force: true }));
        await mkdir(directory, { recursive: true, mode: 0o700 });
      }
      const prepared = await prepareNics(backend, endpoint, planned, undo, call);
      record = { ...record, nics: prepared.map((nic) => nic.record) };
      await store.write(record, call);
      return prepared;
    });
    return await withDeadline(`boot of pod ${spec.id}`, services.bootTimeoutMs, signal, async (call) => {
      const vm = await Vm.launch(
        { driver, agent },
        vmSpec(services, spec, image, nics),
        undo,
        call,
        async (hypervisor) => {
          // Not `running` before it is what was asked for: a manager that dies meanwhile leaves a half-made pod.
          record = { ...record, vm: hypervisor.record() };
          await Promise.all([store.write(record, call), ...nics.map((nic) => nic.host.handedOver())]);
        },
      );
      const guestNics = await configure(vm, spec, nics, call);
      record = { ...record, state: 'running' };
      await store.write(record, call);
      return new HeldPod({
        id: spec.id,
        vm,
        nics: nics.map(({ record: nic }, index) => ({ ...nic, guest: guestNics[index] })),
        consoleLogPath: dirs.consoleLog,
        keep: spec.keep,
        remove: async () => {
          await vm.session.close();
          const errors = await undo.unwind();
          if (errors.length > 0)
            throw combineErrors('POD_CLEANUP_FAILED', `pod ${spec.id} was not removed wholly`, errors);
        },
        letGo: () => lock.release(),
      });
    });
  } catch (error) {
    const cause = explainSystemError(error, `pod ${spec.id}`);
    throw await undo.fail('POD_CLEANUP_FAILED', `pod ${spec.id} could not be created, nor undone wholly`, cause);
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
  return deepFreeze({
    id: spec.id,
    cpus: spec.cpus,
    memoryMib: spec.memoryMib,
    kernelPath: image.kernelPath,
    initramfsPath: image.initramfsPath,
    kernelArgs: [...image.kernelArgs, ...services.kernelArgs],
    channels: services.agent.capabilities.channels,
    nics: nics.map((nic) => nic.vmNic),
    hotplugNicSlots: capabilities.hotplugNic ? Math.min(spec.nicSlots, capabilities.maxNics - nics.length) : 0,
    runDir: dirs.run,
    consoleLogPath: dirs.consoleLog,
    detached: spec.keep,
  });
}

function configure(vm: Vm, spec: PodSpec, nics: readonly PreparedNic[], call: CallOptions) {
  const dns = spec.dns.length > 0 ? spec.dns : [...new Set(nics.flatMap((nic) => nic.record.lease.dns))];
  const { hostname, dnsSearch, dnsOptions } = spec;
  const setups = nics.map(({ record, name }) => ({ id: record.id, mac: record.mac, name, lease: record.lease }));
  return vm.configure({ hostname, dns, dnsSearch, dnsOptions }, setups, call);
}
