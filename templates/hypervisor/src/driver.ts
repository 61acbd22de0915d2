import {
  type CallOptions,
  fieldError,
  HyperplugError,
  type HypervisorDriver,
  type HypervisorVm,
  throwIfAborted,
  type VmRecord,
  type VmSpec,
} from 'hyperplug';
import { capabilities } from './capabilities.js';
import { launchHypervisor } from './launch.js';
import { todo } from './todo.js';

export class __CLASS__Driver implements HypervisorDriver {
  readonly name = '__NAME__';
  readonly capabilities = capabilities;

  async launch(spec: VmSpec, { signal }: CallOptions): Promise<HypervisorVm> {
    throwIfAborted(signal, `launch ${spec.id}`);
    this.#check(spec);
    return launchHypervisor(this.name, spec, signal);
  }

  async adopt(_record: VmRecord, _options: CallOptions): Promise<HypervisorVm> {
    return this.#refuse('adopt');
  }

  async destroy(record: VmRecord, _options: CallOptions): Promise<void> {
    todo(`destroy() of ${record.id}: end exactly the recorded process, if it still lives, and remove its files`);
  }

  async reap(runDir: string, _options: CallOptions): Promise<void> {
    todo(`reap() of ${runDir}: end what a launch left there whose manager died, if anything`);
  }

  #check(spec: VmSpec): void {
    const { maxCpus, maxMemoryMib, maxNics, nicEndpoints } = this.capabilities;
    const within = (field: string, value: number, max: number) => {
      if (value > max) throw fieldError('VM_SPEC_INVALID', field, `at most ${max}`, value);
    };
    within('cpus', spec.cpus, maxCpus);
    within('memoryMib', spec.memoryMib, maxMemoryMib);
    for (const { endpoint } of spec.nics) {
      if (!nicEndpoints.includes(endpoint.kind)) this.#refuse(`NIC endpoint ${endpoint.kind}`);
    }
    if (spec.nics.length > 0 && !this.capabilities.coldplugNic) this.#refuse('coldplugNic');
    if (spec.disks.length > 0) this.#refuse('disks');
    if (spec.shares.length > 0) this.#refuse('shares');
    if (spec.netnsPath !== undefined && !this.capabilities.netns) this.#refuse('netns');
    if (spec.detached && !this.capabilities.adopt) this.#refuse('adopt, which a detached VM needs');
    within('hotplugNicSlots', spec.nics.length + spec.hotplugNicSlots, maxNics);
  }

  #refuse(what: string): never {
    throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${this.name} does not declare ${what}`);
  }
}
