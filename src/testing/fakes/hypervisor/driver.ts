import { setImmediate as turn } from 'node:timers/promises';
import { type CallOptions, throwIfAborted } from '../../../core/calls.js';
import { fieldError, HyperplugError } from '../../../core/errors.js';
import type {
  HypervisorCapabilities,
  HypervisorDriver,
  HypervisorVm,
  SavedTemplate,
  VmExit,
  VmRecord,
  VmSpec,
  VmTrace,
} from '../../../core/hypervisor.js';
import { deepFreeze, type JsonValue } from '../../../core/json.js';
import { checkStorage } from '../../../core/vm/check-storage.js';
import { checkTemplate, checkTemplateKey } from '../../../core/vm/check-template.js';
import { Faults } from '../faults.js';
import { FakeGuest } from '../guest/guest.js';
import type { GuestOs } from '../guest/types.js';
import { FakeMachine } from '../machine.js';
import { fakeTemplateKey, readFakeTemplate } from './template.js';
import { FakeHypervisorVm } from './vm.js';
import { FakeVmProcess } from './vm-process.js';

export const FAKE_HYPERVISOR_CAPABILITIES: HypervisorCapabilities = deepFreeze({
  builtinNetwork: true,
  nicEndpoints: ['tap-name', 'builtin'],
  coldplugNic: true,
  hotplugNic: true,
  liveForwards: true,
  maxNics: 8,
  detachNeedsGuest: 'helps',
  linkUp: 'attach',
  pause: true,
  gracefulShutdown: true,
  snapshot: true,
  hotplugCpu: false,
  hotplugMemory: false,
  adopt: true,
  netns: false,
  channels: { creditWindowBytes: null, reopen: true },
  maxCpus: 64,
  maxMemoryMib: 1 << 20,
  disks: { formats: ['raw', 'qcow2'], max: 16 },
  shares: { max: 8, writable: true },
});

export interface FakeHypervisorOptions {
  readonly name?: string;
  /** Default: a machine of its own. */
  readonly machine?: FakeMachine;
  /** In place of some of FAKE_HYPERVISOR_CAPABILITIES; what is then not declared is refused. */
  readonly capabilities?: Partial<HypervisorCapabilities>;
  /** The guest of each VM; default: a FakeGuest. */
  readonly guest?: (spec: VmSpec) => GuestOs;
}

/** VMs by machine: what a second manager on it finds. */
const running = new WeakMap<FakeMachine, Map<number, FakeVmProcess>>();

/**
 * A hypervisor whose VMs are objects in memory: channels, NICs by slot, forwards that hold real ports, a file in the run
 * directory, adoption by another FakeHypervisor on the same machine. What runs in a VM is a FakeGuest.
 */
export class FakeHypervisor implements HypervisorDriver {
  readonly name: string;
  readonly capabilities: HypervisorCapabilities;
  readonly machine: FakeMachine;
  /**
   * `launch`: after the process was started; `attach`: after the host side was opened; `detach`: at the request; `save`: after
   * the memory of a template was written.
   */
  readonly faults = new Faults<'launch' | 'attach' | 'detach' | 'initNetwork' | 'save'>();
  readonly #guest: (spec: VmSpec) => GuestOs;

  constructor(options: FakeHypervisorOptions = {}) {
    this.name = options.name ?? 'fake';
    this.machine = options.machine ?? new FakeMachine();
    this.capabilities = deepFreeze({ ...FAKE_HYPERVISOR_CAPABILITIES, ...options.capabilities });
    this.#guest = options.guest ?? (() => new FakeGuest());
    if (!running.has(this.machine)) running.set(this.machine, new Map());
  }

  get #vms(): Map<number, FakeVmProcess> {
    return running.get(this.machine) as Map<number, FakeVmProcess>;
  }

  async initNetwork({ signal }: CallOptions): Promise<void> {
    throwIfAborted(signal, 'initNetwork');
    if (!this.capabilities.builtinNetwork) {
      throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${this.name} does not declare builtinNetwork`);
    }
    this.faults.pass('initNetwork');
  }

  /** The running VM of a directory. */
  protected findByRunDir(runDir: string): FakeVmProcess | undefined {
    return [...this.#vms.values()].find((vm) => !vm.exit && vm.spec.runDir === runDir);
  }

  protected findByRecord(record: VmRecord): FakeVmProcess | undefined {
    if (!this.machine.find(record.process)) return undefined;
    const vm = this.#vms.get(record.process.pid);
    return vm && !vm.exit && vm.spec.id === record.id ? vm : undefined;
  }

  async launch(spec: VmSpec, { signal }: CallOptions): Promise<HypervisorVm> {
    throwIfAborted(signal, `launch ${spec.id}`);
    this.checkSpec(spec);
    await checkStorage(spec, this.capabilities);
    await checkTemplate(spec, this);
    checkTemplateKey(spec, fakeTemplateKey(this.name, spec));
    if (this.findByRunDir(spec.runDir)) {
      throw new HyperplugError('VM_ALREADY_EXISTS', `VM ${spec.id} runs already`, { details: { id: spec.id } });
    }
    const vm = new FakeVmProcess(this.machine, spec, this.capabilities, this.#guest(spec));
    this.#vms.set(vm.process.identity.pid, vm);
    try {
      await this.boot(vm, signal);
      return this.handle(vm);
    } catch (error) {
      this.undoLaunch(vm);
      throw error;
    }
  }

  protected async boot(vm: FakeVmProcess, signal: AbortSignal): Promise<void> {
    await turn();
    for (const nic of vm.spec.nics) {
      const forwards = await vm.openBackend(nic.endpoint);
      vm.nics.set(nic.id, { nic, slot: vm.takeSlot(), forwards, unplugging: false });
      vm.reservedSlots.clear();
    }
    this.faults.pass('launch');
    throwIfAborted(signal, `launch ${vm.spec.id}`);
    const { template } = vm.spec;
    if (template?.role === 'clone') vm.powerOn(this.savedGuest(template.directory, template.saved));
    else vm.powerOn();
  }

  /** @throws TEMPLATE_STALE */
  protected savedGuest(directory: string, saved: SavedTemplate): JsonValue {
    return readFakeTemplate(directory, saved);
  }

  protected undoLaunch(vm: FakeVmProcess): void {
    vm.end({ reason: 'killed', exitCode: null, signal: 'SIGKILL', stderrTail: '' });
  }

  protected handle(vm: FakeVmProcess): HypervisorVm {
    return new FakeHypervisorVm(this, vm);
  }

  protected checkSpec(spec: VmSpec): void {
    const { capabilities } = this;
    const within = (field: string, value: number, max: number) => {
      if (value < 1 || value > max) throw fieldError('VM_SPEC_INVALID', field, `1 to ${max} (${this.name})`, value);
    };
    within('cpus', spec.cpus, capabilities.maxCpus);
    within('memoryMib', spec.memoryMib, capabilities.maxMemoryMib);
    if (spec.nics.length + spec.hotplugNicSlots > capabilities.maxNics) {
      const received = spec.nics.length + spec.hotplugNicSlots;
      throw fieldError('VM_SPEC_INVALID', 'nics', `at most ${capabilities.maxNics} NICs and free slots`, received);
    }
    const refuse = (what: string) => {
      throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${this.name} does not declare ${what}`);
    };
    if (spec.nics.length > 0 && !capabilities.coldplugNic) refuse('coldplugNic');
    if (spec.netnsPath !== undefined && !capabilities.netns) refuse('netns');
    if (spec.detached && !capabilities.adopt) refuse('adopt (detached)');
    for (const { endpoint } of spec.nics) {
      if (!capabilities.nicEndpoints.includes(endpoint.kind)) refuse(`NIC endpoint ${endpoint.kind}`);
    }
  }

  async adopt(record: VmRecord, { signal }: CallOptions): Promise<HypervisorVm> {
    if (!this.capabilities.adopt) {
      throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${this.name} does not declare adopt`);
    }
    throwIfAborted(signal, `adopt ${record.id}`);
    await turn();
    throwIfAborted(signal, `adopt ${record.id}`);
    const vm = this.findByRecord(record);
    if (!vm) throw new HyperplugError('VM_ADOPT_FAILED', `VM ${record.id} is gone`, { details: { ...record.process } });
    return this.handle(vm);
  }

  async destroy(record: VmRecord, _options: CallOptions): Promise<void> {
    await turn();
    this.endVm(this.findByRecord(record));
  }

  async reap(runDir: string, _options: CallOptions): Promise<void> {
    await turn();
    this.endVm(this.findByRunDir(runDir));
  }

  async traces({ signal }: CallOptions): Promise<readonly VmTrace[]> {
    throwIfAborted(signal, 'traces of VMs');
    const alive = [...this.#vms.values()].filter((vm) => !vm.exit);
    return alive.map(({ process, spec }) => ({ process: process.identity, runDir: spec.runDir }));
  }

  async templateKey(spec: VmSpec, { signal }: CallOptions): Promise<string> {
    if (!this.capabilities.snapshot) {
      throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${this.name} does not declare snapshot`);
    }
    throwIfAborted(signal, 'key of a template');
    return fakeTemplateKey(this.name, spec);
  }

  protected endVm(vm: FakeVmProcess | undefined, signal: VmExit['signal'] = 'SIGKILL'): void {
    vm?.end({ reason: 'killed', exitCode: null, signal, stderrTail: '' });
  }
}
