import type { Duplex } from 'node:stream';
import {
  type AttachedNic,
  type CallOptions,
  HyperplugError,
  type HypervisorVm,
  type PortForward,
  type ProcessIdentity,
  raceSignal,
  throwIfAborted,
  type VmEvent,
  type VmExit,
  type VmNic,
  type VmRecord,
  type VmSpec,
  type VmState,
} from 'hyperplug';
import { todo } from './todo.js';

/** One VM that runs: its state, its events and its end. What is not declared is refused. */
export class RunningVm implements HypervisorVm {
  readonly id: string;
  readonly exited: Promise<VmExit>;
  readonly #listeners = new Set<{ readonly call: (event: VmEvent) => void }>();
  #exit: VmExit | undefined;
  #tellExit: (exit: VmExit) => void = () => {};

  constructor(
    readonly driver: string,
    readonly spec: VmSpec,
    readonly process: ProcessIdentity,
  ) {
    this.id = spec.id;
    this.exited = new Promise((resolve) => {
      this.#tellExit = resolve;
    });
  }

  /** To be called once, when the process is gone and its files are removed. */
  protected ended(exit: VmExit): void {
    if (this.#exit) return;
    this.#exit = exit;
    this.emit({ type: 'exited', exit });
    this.#tellExit(exit);
  }

  protected emit(event: VmEvent): void {
    for (const { call } of [...this.#listeners]) call(event);
  }

  get state(): VmState {
    return this.#exit ? 'exited' : 'running';
  }

  onEvent(listener: (event: VmEvent) => void): () => void {
    const entry = { call: listener };
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  async openChannel(name: string, { signal }: CallOptions): Promise<Duplex> {
    this.#ensureRunning();
    throwIfAborted(signal, `open channel ${name}`);
    if (!this.spec.channels.includes(name)) {
      throw new HyperplugError('VM_SPEC_INVALID', `VM ${this.id} has no channel ${name}`);
    }
    return todo(`openChannel() of ${name}`);
  }

  async kill({ signal }: CallOptions): Promise<VmExit> {
    if (!this.#exit) todo('kill(): end the process, wait until it is gone, remove its files, then ended()');
    return raceSignal(this.exited, signal, `kill VM ${this.id}`);
  }

  nics(): readonly AttachedNic[] {
    return [];
  }

  attachNic(_nic: VmNic, _options: CallOptions): Promise<AttachedNic> {
    return this.#undeclared('hotplugNic');
  }

  detachNic(_nicId: string, _options: CallOptions): Promise<void> {
    return this.#undeclared('hotplugNic');
  }

  addForward(_nicId: string, _forward: PortForward, _options: CallOptions): Promise<void> {
    return this.#undeclared('liveForwards');
  }

  removeForward(_nicId: string, _forward: PortForward, _options: CallOptions): Promise<void> {
    return this.#undeclared('liveForwards');
  }

  pause(_options: CallOptions): Promise<void> {
    return this.#undeclared('pause');
  }

  resume(_options: CallOptions): Promise<void> {
    return this.#undeclared('pause');
  }

  shutdown(_options: CallOptions): Promise<VmExit> {
    return this.#undeclared('gracefulShutdown');
  }

  release(): Promise<void> {
    return this.#undeclared('adopt');
  }

  record(): VmRecord {
    const { driver, id, process } = this;
    return { version: 1, driver, id, process, runDir: this.spec.runDir, data: null };
  }

  #ensureRunning(): void {
    if (this.#exit) throw new HyperplugError('VM_NOT_RUNNING', `VM ${this.id} has exited: ${this.#exit.reason}`);
  }

  async #undeclared(what: string): Promise<never> {
    this.#ensureRunning();
    throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${this.driver} does not declare ${what}`);
  }
}
