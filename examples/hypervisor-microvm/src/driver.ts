import {
  type CallOptions,
  fieldError,
  HyperplugError,
  type HypervisorDriver,
  type HypervisorVm,
  killProcess,
  sameProcess,
  throwIfAborted,
  type VmRecord,
  type VmSpec,
} from 'hyperplug';
import { capabilities } from './capabilities.js';
import { launchHypervisor } from './launch.js';
import type { Options } from './options.js';
import { QmpClient, type QmpEvent } from './qmp.js';
import { qmpPath, removeFiles, runningIn } from './run-dir.js';
import { type RunningParts, RunningVm } from './vm.js';

export class MicrovmDriver implements HypervisorDriver {
  readonly name = 'microvm';
  readonly capabilities = capabilities;

  constructor(readonly options: Options) {}

  /** QEMU's user network comes with QEMU, which the first launch tries. */
  async initNetwork({ signal }: CallOptions): Promise<void> {
    throwIfAborted(signal, 'network of microvm');
  }

  async launch(spec: VmSpec, { signal }: CallOptions): Promise<HypervisorVm> {
    throwIfAborted(signal, `launch ${spec.id}`);
    this.#check(spec);
    return launchHypervisor(this.name, spec, this.options, signal);
  }

  async adopt(record: VmRecord, options: CallOptions): Promise<HypervisorVm> {
    throwIfAborted(options.signal, `adopt ${record.id}`);
    if (!sameProcess(record.process)) {
      const details = { ...record.process };
      throw new HyperplugError('VM_ADOPT_FAILED', `VM ${record.id} is gone`, { details });
    }
    const events: { take: (event: QmpEvent) => void } = { take: () => {} };
    const qmp = await QmpClient.connect(qmpPath(record.runDir), (event) => events.take(event), options);
    try {
      const status = (await qmp.execute('query-status', {}, options)) as { readonly running?: boolean };
      const { driver, id, runDir, process } = record;
      const { channels, nics } = record.data as unknown as Pick<RunningParts, 'channels' | 'nics'>;
      const paused = status.running !== true;
      const vm = new RunningVm({ driver, id, runDir, process, channels, nics, qmp, paused, detached: true });
      events.take = (event) => vm.take(event);
      return vm;
    } catch (error) {
      qmp.close();
      throw error;
    }
  }

  async destroy(record: VmRecord, options: CallOptions): Promise<void> {
    // By pid, start time and boot: a process that has the pid now is left alone.
    await killProcess(record.process, options);
    await removeFiles(record.runDir);
  }

  async reap(runDir: string, options: CallOptions): Promise<void> {
    const process = await runningIn(runDir);
    if (process) await killProcess(process, options);
    await removeFiles(runDir);
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
    if (spec.disks.length > 0) this.#refuse('disks');
    if (spec.shares.length > 0) this.#refuse('shares');
    if (spec.netnsPath !== undefined) this.#refuse('netns');
    if (spec.template !== undefined) this.#refuse('snapshot');
    within('nics', spec.nics.length, maxNics);
    // Slots for NICs that come later can never be used here; core asks for none where hotplugNic is not declared.
    within('hotplugNicSlots', spec.hotplugNicSlots, 0);
  }

  #refuse(what: string): never {
    throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${this.name} does not declare ${what}`);
  }
}
