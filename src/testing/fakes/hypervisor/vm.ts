import type { Duplex } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { type CallOptions, raceSignal, throwIfAborted } from '../../../core/calls.js';
import { HyperplugError } from '../../../core/errors.js';
import type {
  AttachedNic,
  DetachOptions,
  HypervisorVm,
  PortForward,
  SavedTemplate,
  VmEvent,
  VmExit,
  VmNic,
  VmRecord,
  VmState,
} from '../../../core/hypervisor.js';
import { deepFreeze, type JsonValue } from '../../../core/json.js';
import type { OpenForward } from '../forwards.js';
import type { FakeHypervisor } from './driver.js';
import { writeFakeTemplate } from './template.js';
import type { FakeVmProcess, PluggedNic } from './vm-process.js';

/** A manager's hold of a VM. Methods are small so that a test can put a defect into one of them. */
export class FakeHypervisorVm implements HypervisorVm {
  readonly id: string;
  readonly exited: Promise<VmExit>;
  protected released = false;
  readonly #listeners = new Set<(event: VmEvent) => void>();
  readonly #waiting = new Set<(error: HyperplugError) => void>();
  readonly #channels = new Set<Duplex>();

  constructor(
    readonly driver: FakeHypervisor,
    readonly process: FakeVmProcess,
  ) {
    this.id = process.spec.id;
    this.exited = new Promise((resolve) => {
      this.onProcessEvent = (event) => {
        if (event.type === 'exited') this.failWaiting(event.exit);
        this.deliver(event);
        if (event.type === 'exited') resolve(event.exit);
      };
    });
    process.listeners.add(this.onProcessEvent);
  }

  protected onProcessEvent: (event: VmEvent) => void = () => {};

  protected deliver(event: VmEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }

  protected failWaiting(exit: VmExit): void {
    const error = new HyperplugError('VM_EXITED', `VM ${this.id} exited: ${exit.reason}`, { details: { ...exit } });
    for (const reject of [...this.#waiting]) reject(error);
    this.#waiting.clear();
  }

  get state(): VmState {
    if (this.process.exit) return 'exited';
    return this.process.paused ? 'paused' : 'running';
  }

  onEvent(listener: (event: VmEvent) => void): () => void {
    // A wrapper, so that one function given twice is two listeners.
    const own = (event: VmEvent) => listener(event);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  protected ensureRunning(): void {
    if (this.released || this.process.exit) {
      const why = this.released ? 'was released' : `has exited: ${this.process.exit?.reason}`;
      throw new HyperplugError('VM_NOT_RUNNING', `VM ${this.id} ${why}`);
    }
  }

  protected ensureDeclared(declared: boolean, what: string): void {
    if (!declared) throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${this.driver.name} does not declare ${what}`);
  }

  /** Waits no longer than the VM and the signal live. */
  protected wait<T>(promise: Promise<T>, options: CallOptions, what: string): Promise<T> {
    let fail: (error: HyperplugError) => void = () => {};
    const died = new Promise<never>((_, reject) => {
      fail = reject;
    });
    this.#waiting.add(fail);
    return raceSignal(Promise.race([promise, died]), options.signal, what).finally(() => this.#waiting.delete(fail));
  }

  async openChannel(name: string, { signal }: CallOptions): Promise<Duplex> {
    this.ensureRunning();
    throwIfAborted(signal, `open channel ${name}`);
    if (!this.process.spec.channels.includes(name)) {
      throw new HyperplugError('VM_SPEC_INVALID', `VM ${this.id} has no channel ${name}`, { details: { name } });
    }
    const channel = this.process.openChannel(name);
    this.#channels.add(channel);
    return channel;
  }

  async attachNic(nic: VmNic, options: CallOptions): Promise<AttachedNic> {
    this.ensureRunning();
    this.ensureDeclared(this.driver.capabilities.hotplugNic, 'hotplugNic');
    const { kind } = nic.endpoint;
    this.ensureDeclared(this.driver.capabilities.nicEndpoints.includes(kind), `NIC endpoint ${kind}`);
    throwIfAborted(options.signal, `attach NIC ${nic.id}`);
    this.ensureNew(nic);
    const release = this.reserveIdentity(nic);
    const slot = this.takeSlot(release);
    let forwards: OpenForward[] = [];
    let opened = false;
    try {
      forwards = await this.process.openBackend(nic.endpoint);
      opened = true;
      await this.wait(this.insertDevice(nic), options, `attach NIC ${nic.id}`);
      throwIfAborted(options.signal, `attach NIC ${nic.id}`);
      return this.process.plug(nic, slot, forwards);
    } catch (error) {
      await this.undoAttach(nic, slot, opened ? forwards : undefined);
      throw error;
    } finally {
      release();
    }
  }

  protected takeSlot(release: () => void): number {
    try {
      return this.process.takeSlot();
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Time passes, and this is where it may fail. */
  protected async insertDevice(_nic: VmNic): Promise<void> {
    await turn();
    this.driver.faults.pass('attach');
  }

  /** @param forwards undefined: the backend was not opened. */
  protected async undoAttach(nic: VmNic, slot: number, forwards: OpenForward[] | undefined): Promise<void> {
    this.process.reservedSlots.delete(slot);
    if (forwards) await this.process.closeBackend({ nic, forwards });
  }

  readonly #arriving = new Set<VmNic>();

  protected ensureNew(nic: VmNic): void {
    const others = [...this.#arriving, ...[...this.process.nics.values()].map((plugged) => plugged.nic)];
    const clash = others.find(({ id, mac }) => id === nic.id || mac === nic.mac);
    if (!clash) return;
    throw new HyperplugError('VM_NIC_EXISTS', `VM ${this.id} has NIC ${clash.id} (${clash.mac}) already`, {
      details: { id: clash.id, mac: clash.mac },
    });
  }

  protected reserveIdentity(nic: VmNic): () => void {
    this.#arriving.add(nic);
    return () => void this.#arriving.delete(nic);
  }

  protected findNic(nicId: string): PluggedNic {
    const plugged = this.process.nics.get(nicId);
    if (plugged) return plugged;
    throw new HyperplugError('VM_NIC_NOT_FOUND', `VM ${this.id} has no NIC ${nicId}`, { details: { nicId } });
  }

  async detachNic(nicId: string, { onUnplugged, ...options }: DetachOptions): Promise<void> {
    this.ensureRunning();
    this.ensureDeclared(this.driver.capabilities.hotplugNic, 'hotplugNic');
    throwIfAborted(options.signal, `detach NIC ${nicId}`);
    const plugged = this.findNic(nicId);
    this.driver.faults.pass('detach');
    await this.wait(this.removeDevice(plugged), options, `detach NIC ${nicId}`);
    onUnplugged?.();
    await turn();
  }

  /** Resolves when the device is gone. */
  protected async removeDevice(plugged: PluggedNic): Promise<void> {
    await turn();
    const { mac, id } = plugged.nic;
    const { detachNeedsGuest } = this.driver.capabilities;
    if (detachNeedsGuest === 'link-down' && this.process.guest.linkUp(mac)) {
      throw new HyperplugError('VM_HYPERVISOR_FAILED', `NIC ${id} is in use: the guest has its link up`);
    }
    if (detachNeedsGuest === 'helps') {
      await new Promise<void>((resolve) => this.process.guest.nicWanted(mac, resolve));
    }
    await this.process.unplug(plugged);
  }

  async addForward(nicId: string, forward: PortForward, options: CallOptions): Promise<void> {
    this.ensureRunning();
    this.ensureDeclared(this.driver.capabilities.liveForwards, 'liveForwards');
    throwIfAborted(options.signal, 'add forward');
    const { forwards } = this.findNic(nicId);
    forwards.push(await this.process.openForward(forward));
  }

  async removeForward(nicId: string, forward: PortForward, options: CallOptions): Promise<void> {
    this.ensureRunning();
    this.ensureDeclared(this.driver.capabilities.liveForwards, 'liveForwards');
    throwIfAborted(options.signal, 'remove forward');
    const plugged = this.findNic(nicId);
    const open = this.process.findForward(plugged, forward);
    if (!open) return;
    plugged.forwards.splice(plugged.forwards.indexOf(open), 1);
    await open.close();
  }

  nics(): readonly AttachedNic[] {
    return [...this.process.nics.values()].map(({ nic, slot }) => Object.freeze({ id: nic.id, mac: nic.mac, slot }));
  }

  async pause(options: CallOptions): Promise<void> {
    await this.setPaused(true, options);
  }

  async resume(options: CallOptions): Promise<void> {
    await this.setPaused(false, options);
  }

  protected async setPaused(paused: boolean, { signal }: CallOptions): Promise<void> {
    this.ensureRunning();
    this.ensureDeclared(this.driver.capabilities.pause, 'pause');
    throwIfAborted(signal, paused ? 'pause' : 'resume');
    if (this.process.paused === paused) return;
    this.process.paused = paused;
    this.process.guest.paused(paused);
    this.process.emit({ type: paused ? 'paused' : 'resumed' });
  }

  async shutdown(options: CallOptions): Promise<VmExit> {
    this.ensureRunning();
    this.ensureDeclared(this.driver.capabilities.gracefulShutdown, 'gracefulShutdown');
    throwIfAborted(options.signal, 'shutdown');
    if (this.process.paused) throw new HyperplugError('VM_NOT_RUNNING', `VM ${this.id} is paused`);
    this.process.guest.powerButton();
    return raceSignal(this.exited, options.signal, `shutdown of VM ${this.id}`);
  }

  async kill(options: CallOptions): Promise<VmExit> {
    if (this.released) throw new HyperplugError('VM_NOT_RUNNING', `VM ${this.id} was released`);
    this.process.end({ reason: 'killed', exitCode: null, signal: 'SIGKILL', stderrTail: '' });
    return raceSignal(this.exited, options.signal, `kill VM ${this.id}`);
  }

  async saveTemplate({ signal }: CallOptions): Promise<SavedTemplate> {
    this.ensureRunning();
    this.ensureDeclared(this.driver.capabilities.snapshot, 'snapshot');
    const { spec } = this.process;
    const use = spec.template;
    if (use?.role !== 'source') {
      throw new HyperplugError('NOT_SUPPORTED', `VM ${this.id} was not launched as the source of a template`);
    }
    try {
      const data = await this.writeTemplate(use.directory, signal);
      const key = await this.driver.templateKey(spec, { signal });
      this.process.saved = true;
      return deepFreeze({ version: 1, driver: this.driver.name, key, data });
    } finally {
      this.process.end({ reason: 'killed', exitCode: null, signal: 'SIGKILL', stderrTail: '' });
    }
  }

  protected async writeTemplate(directory: string, signal: AbortSignal): Promise<JsonValue> {
    const steps = writeFakeTemplate(directory, this.process.guest.save());
    for (;;) {
      throwIfAborted(signal, `save VM ${this.id}`);
      const { exit } = this.process;
      if (exit) throw new HyperplugError('VM_EXITED', `VM ${this.id} exited: ${exit.reason}`, { details: { ...exit } });
      const step = steps.next();
      if (step.done) return step.value;
      await turn();
      this.driver.faults.pass('save');
    }
  }

  async release(): Promise<void> {
    if (this.released) return;
    this.ensureDeclared(this.process.spec.detached, 'release() of a VM that is not detached');
    this.released = true;
    this.process.listeners.delete(this.onProcessEvent);
    for (const channel of this.#channels) channel.destroy();
    this.#listeners.clear();
  }

  record(): VmRecord {
    const { spec, process } = this.process;
    return Object.freeze({
      version: 1,
      driver: this.driver.name,
      id: this.id,
      process: process.identity,
      runDir: spec.runDir,
      data: null,
    });
  }
}
