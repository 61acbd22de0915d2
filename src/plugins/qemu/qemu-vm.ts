import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type CallOptions, raceSignal, throwIfAborted, withDeadline } from '../../core/calls.js';
import { HyperplugError, hasCode, isHyperplugError } from '../../core/errors.js';
import type {
  AttachedNic,
  HypervisorVm,
  PortForward,
  SavedTemplate,
  VmEvent,
  VmExit,
  VmNic,
  VmRecord,
  VmState,
} from '../../core/hypervisor.js';
import type { JsonValue } from '../../core/json.js';
import { killProcess } from '../../host/process.js';
import { consoleTellsPanic } from '../../host/vmm/console-panic.js';
import type { VmProcess } from '../../host/vmm/vm-process.js';
import { channelChardev } from './argv.js';
import { exitReason } from './exit-reason.js';
import { NicPlug } from './nic-plug.js';
import type { QemuRunDir } from './qemu-run-dir.js';
import type { QmpClient } from './qmp/client.js';
import type { QmpEvent } from './qmp/events.js';
import { isObject } from './qmp/messages.js';
import { markSaved } from './template/files.js';
import { saveTo } from './template/save.js';
import { DRIVER_NAME, type RecordData } from './vm-record.js';

export interface QemuVmParts {
  readonly id: string;
  readonly runDir: QemuRunDir;
  readonly process: VmProcess;
  readonly qmp: QmpClient;
  readonly data: RecordData;
  readonly commandTimeoutMs: number;
  readonly detachTimeoutMs: number;
}

/** How long QEMU may take to notice that the last holder of a channel is gone. */
const CHANNEL_FREE_TIMEOUT_MS = 2_000;
const CHANNEL_POLL_MS = 20;
const POWER_BUTTON_INTERVAL_MS = 3_000;

export class QemuVm implements HypervisorVm {
  readonly id: string;
  readonly exited: Promise<VmExit>;
  readonly nicPlug: NicPlug;
  #state: VmState = 'running';
  #exit: VmExit | undefined;
  #released = false;
  #killed = false;
  #panicked = false;
  #shutdownReason: string | undefined;
  readonly #gone = new AbortController();
  readonly #listeners = new Set<(event: VmEvent) => void>();
  readonly #channels = new Map<string, Socket | 'opening'>();
  readonly #parts: QemuVmParts;

  constructor(parts: QemuVmParts) {
    this.id = parts.id;
    this.#parts = parts;
    const { qmp, data, commandTimeoutMs, detachTimeoutMs } = parts;
    this.nicPlug = new NicPlug(
      qmp,
      { machine: data.machine, slots: data.slots, commandTimeoutMs, detachTimeoutMs },
      (nicId) => this.#emit({ type: 'nic-detached', nicId }),
    );
    qmp.onEvent((event) => this.#onQmpEvent(event));
    this.exited = parts.process.exited.then((end) => this.#finish(end.exitCode, end.signal));
  }

  get state(): VmState {
    return this.#state;
  }

  /** For a VM that was found paused. */
  foundPaused(): void {
    this.#state = 'paused';
  }

  onEvent(listener: (event: VmEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async openChannel(name: string, options: CallOptions): Promise<Duplex> {
    const index = this.#parts.data.channels.indexOf(name);
    if (index < 0) throw new TypeError(`channel: expected one of ${this.#parts.data.channels.join(', ')}, got ${name}`);
    return this.#call(`open channel ${name}`, options, async (call) => {
      if (this.#channels.has(name)) throw busyChannel(name);
      this.#channels.set(name, 'opening');
      try {
        await this.#awaitFreeChannel(name, index, call);
        const socket = await openSocket(this.#parts.runDir.channelSocket(index), call);
        this.#channels.set(name, socket);
        socket.once('close', () => this.#channels.delete(name));
        return socket;
      } catch (error) {
        this.#channels.delete(name);
        throw error;
      }
    });
  }

  attachNic(nic: VmNic, options: CallOptions): Promise<AttachedNic> {
    return this.#call(`attach NIC ${nic.id}`, options, (call) => this.nicPlug.attach(nic, call));
  }

  detachNic(nicId: string, options: CallOptions): Promise<void> {
    return this.#call(`detach NIC ${nicId}`, options, async (call) => {
      this.nicPlug.table.find(nicId);
      // Unplugging takes the guest's help.
      this.#mustRun(`detach NIC ${nicId}`);
      await this.nicPlug.detach(nicId, call);
    });
  }

  addForward(nicId: string, forward: PortForward, options: CallOptions): Promise<void> {
    return this.#call(`forward to NIC ${nicId}`, options, (call) => this.nicPlug.addForward(nicId, forward, call));
  }

  removeForward(nicId: string, forward: PortForward, options: CallOptions): Promise<void> {
    return this.#call(`forward to NIC ${nicId}`, options, (call) => this.nicPlug.removeForward(nicId, forward, call));
  }

  nics(): readonly AttachedNic[] {
    return this.nicPlug.table.list();
  }

  pause(options: CallOptions): Promise<void> {
    return this.#call('pause', options, async (call) => {
      if (this.#state === 'paused') return;
      await this.#execute('stop', call);
      this.#setPaused(true);
    });
  }

  resume(options: CallOptions): Promise<void> {
    return this.#call('resume', options, async (call) => {
      if (this.#state === 'running') return;
      await this.#execute('cont', call);
      this.#setPaused(false);
    });
  }

  /** The button is pressed again while nothing happens: a guest that was still booting has not felt it. */
  async shutdown(options: CallOptions): Promise<VmExit> {
    try {
      return await this.#call('shutdown', options, async (call) => {
        for (;;) {
          this.#mustRun('shutdown');
          await this.#execute('system_powerdown', call);
          const again = delay(POWER_BUTTON_INTERVAL_MS, undefined, { ref: false });
          const exit = await raceSignal(Promise.race([this.exited, again]), call.signal, `shutdown of VM ${this.id}`);
          if (exit) return exit;
        }
      });
    } catch (error) {
      // It went down: that is what was asked.
      if (!hasCode(error, 'VM_EXITED')) throw error;
      return raceSignal(this.exited, options.signal, `shutdown of VM ${this.id}`);
    }
  }

  async kill(options: CallOptions): Promise<VmExit> {
    if (this.#released) throw this.#notRunning('kill');
    if (this.#exit === undefined) {
      this.#killed = true;
      await killProcess(this.#parts.process.identity, options);
    }
    const exit = await raceSignal(this.exited, options.signal, `kill of VM ${this.id}`);
    // Again, should the removal at its exit have failed.
    await this.#parts.runDir.removeFiles();
    return exit;
  }

  async saveTemplate(options: CallOptions): Promise<SavedTemplate> {
    const { template } = this.#parts.data;
    if (!template) {
      throw new HyperplugError('NOT_SUPPORTED', `VM ${this.id} was not launched as the source of a template`);
    }
    if (this.#exit || this.#released || this.#killed) throw this.#notRunning('save as a template');
    try {
      return await this.#call('save as a template', options, (call) => this.#save(template, call));
    } finally {
      const signal = AbortSignal.timeout(this.#parts.commandTimeoutMs);
      await this.kill({ signal });
    }
  }

  async #save({ directory, key }: { directory: string; key: string }, call: CallOptions): Promise<SavedTemplate> {
    this.#mustRun('save as a template');
    const { process, qmp, runDir } = this.#parts;
    const data = await saveTo(directory, process.identity.pid, qmp, call);
    throwIfAborted(call.signal, 'save as a template');
    markSaved(runDir.path);
    return { version: 1, driver: DRIVER_NAME, key, data };
  }

  async release(): Promise<void> {
    if (this.#released || this.#exit) return;
    if (!this.#parts.data.detached) {
      throw new HyperplugError('NOT_SUPPORTED', `VM ${this.id} dies with this process: it was not launched detached`);
    }
    this.#released = true;
    this.#gone.abort(this.#notRunning('call'));
    this.#parts.process.release();
    this.#closeSockets();
    this.#listeners.clear();
  }

  record(): VmRecord {
    const { id, process, runDir, data } = this.#parts;
    return { version: 1, driver: DRIVER_NAME, id, process: process.identity, runDir: runDir.path, data };
  }

  /** Runs a call that ends with the VM: VM_NOT_RUNNING when it is gone already, VM_EXITED when it goes meanwhile. */
  async #call<T>(what: string, { signal }: CallOptions, body: (call: CallOptions) => Promise<T>): Promise<T> {
    if (this.#exit || this.#released || this.#killed) throw this.#notRunning(what);
    throwIfAborted(signal, what);
    const combined = AbortSignal.any([signal, this.#gone.signal]);
    try {
      return await body({ signal: combined });
    } catch (error) {
      // An undo that failed for the same reason is in one error with what it was for.
      const all = isHyperplugError(error) ? [error, ...error.errors] : [error];
      if (!all.some((each) => hasCode(each, 'QMP_CLOSED', 'VM_EXITED'))) throw error;
      if (this.#released) throw this.#notRunning(what);
      // The monitor's end comes a moment before the process's.
      const exit = await Promise.race([this.exited, delay(1_000, undefined, { ref: false })]);
      throw exit ? exitedError(this.id, what, exit, error) : error;
    }
  }

  #execute(command: string, call: CallOptions): Promise<JsonValue> {
    return withDeadline(`QMP ${command}`, this.#parts.commandTimeoutMs, call.signal, (limited) =>
      this.#parts.qmp.execute(command, undefined, limited),
    );
  }

  #mustRun(what: string): void {
    if (this.#state === 'running') return;
    throw new HyperplugError('VM_NOT_RUNNING', `${what}: VM ${this.id} is ${this.#state}; the guest has to help`, {
      details: { id: this.id, state: this.#state },
    });
  }

  #notRunning(what: string): HyperplugError {
    const state = this.#released ? 'released' : this.#exit ? 'exited' : 'being killed';
    return new HyperplugError('VM_NOT_RUNNING', `${what}: VM ${this.id} is ${state}`, {
      details: { id: this.id, state },
    });
  }

  /** Waits until QEMU holds no connection of the channel: it takes one at a time and lets others wait without a word. */
  async #awaitFreeChannel(name: string, index: number, call: CallOptions): Promise<void> {
    const giveUpAt = performance.now() + CHANNEL_FREE_TIMEOUT_MS;
    for (;;) {
      const list = await this.#execute('query-chardev', call);
      const chardev = (Array.isArray(list) ? list : []).find(
        (entry) => isObject(entry) && entry.label === channelChardev(index),
      );
      const filename = isObject(chardev) && typeof chardev.filename === 'string' ? chardev.filename : '';
      if (filename.startsWith('disconnected:')) return;
      if (performance.now() > giveUpAt) throw busyChannel(name);
      await raceSignal(delay(CHANNEL_POLL_MS), call.signal, `open channel ${name}`);
    }
  }

  #setPaused(paused: boolean): void {
    const state = paused ? 'paused' : 'running';
    if (this.#state === state || this.#state === 'exited') return;
    this.#state = state;
    this.#emit({ type: paused ? 'paused' : 'resumed' });
  }

  #onQmpEvent(event: QmpEvent): void {
    switch (event.name) {
      case 'STOP':
        // QEMU also stops the vCPUs on its way out.
        if (this.#shutdownReason === undefined) this.#setPaused(true);
        return;
      case 'RESUME':
        this.#setPaused(false);
        return;
      case 'SHUTDOWN':
        this.#shutdownReason = event.data.reason;
        return;
      case 'GUEST_PANICKED':
        if (this.#panicked) return;
        this.#panicked = true;
        this.#emit({ type: 'panicked' });
    }
  }

  async #finish(exitCode: number | null, signal: string | null): Promise<VmExit> {
    const { process, runDir, data } = this.#parts;
    this.#gone.abort(new HyperplugError('VM_EXITED', `VM ${this.id} exited`));
    const stderrTail = await process.stderrTail();
    const panicked = this.#panicked || (await consoleTellsPanic(data.consoleLogPath, data.consoleStart));
    const reason = exitReason({
      killed: this.#killed,
      panicked,
      shutdownReason: this.#shutdownReason,
      exitCode,
      signal,
    });
    const exit: VmExit = { reason, exitCode, signal, stderrTail };
    this.#closeSockets();
    // What fails here is tried again by kill() and destroy(), which report it.
    if (!this.#released) await runDir.removeFiles().catch(() => {});
    this.#exit = exit;
    this.#state = 'exited';
    if (reason === 'panicked' && !this.#panicked) this.#emit({ type: 'panicked' });
    this.#emit({ type: 'exited', exit });
    return exit;
  }

  #closeSockets(): void {
    this.#parts.qmp.close();
    for (const channel of this.#channels.values()) if (channel !== 'opening') channel.destroy();
    this.#channels.clear();
  }

  #emit(event: VmEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }
}

function busyChannel(name: string): HyperplugError {
  return new HyperplugError('POD_BUSY', `channel ${name} of the VM is held elsewhere`, { details: { channel: name } });
}

function exitedError(id: string, what: string, exit: VmExit, cause: unknown): HyperplugError {
  const words = exit.stderrTail.trim();
  return new HyperplugError('VM_EXITED', `${what}: VM ${id} ended: ${exit.reason}${words === '' ? '' : `: ${words}`}`, {
    cause,
    details: { id, ...exit },
  });
}

/** @throws VM_EXITED nobody listens there any more. */
export function openSocket(path: string, { signal }: CallOptions): Promise<Socket> {
  const socket = connect({ path });
  const opened = new Promise<Socket>((resolve, reject) => {
    socket.once('connect', () => resolve(socket));
    socket.once('error', (cause) =>
      reject(new HyperplugError('VM_EXITED', `${path}: ${cause.message}`, { cause, details: { path } })),
    );
  });
  // Whoever reads the stream hears of its errors by its own listener.
  socket.on('error', () => {});
  return raceSignal(opened, signal, `connect to ${path}`).catch((error: unknown) => {
    socket.destroy();
    throw error;
  });
}
