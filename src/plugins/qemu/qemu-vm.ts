import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type CallOptions, raceSignal, throwIfAborted, withDeadline } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
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
} from '../../core/hypervisor.js';
import type { JsonValue } from '../../core/json.js';
import { VmLife } from '../../host/vmm/vm-life.js';
import type { VmProcess } from '../../host/vmm/vm-process.js';
import { channelChardev } from './argv.js';
import { exitReason } from './exit-reason.js';
import { NicPlug } from './nic-plug.js';
import { openSocket } from './open-socket.js';
import type { QemuRunDir } from './qemu-run-dir.js';
import type { QmpClient } from './qmp/client.js';
import type { QmpEvent } from './qmp/events.js';
import { isObject } from './qmp/messages.js';
import { markSaved } from './template/paths.js';
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
  /** The first conversations of a VM that was just launched, begun while it was; adopted: nobody knows who holds its channels. */
  readonly begun: 'adopted' | ReadonlyMap<string, Socket>;
}

/** How long QEMU may take to notice that the last holder of a channel is gone. */
const CHANNEL_FREE_TIMEOUT_MS = 2_000;
const CHANNEL_POLL_MS = 20;

export class QemuVm implements HypervisorVm {
  readonly id: string;
  readonly nicPlug: NicPlug;
  #shutdownReason: string | undefined;
  readonly #life: VmLife;
  readonly #channels = new Map<string, Socket | 'opening'>();
  /** Channels that nobody has held yet. */
  readonly #untouched: Set<string>;
  readonly #parts: QemuVmParts;

  constructor(parts: QemuVmParts) {
    this.id = parts.id;
    this.#parts = parts;
    const { qmp, data, commandTimeoutMs, detachTimeoutMs, begun } = parts;
    this.#untouched = new Set(begun === 'adopted' ? [] : data.channels);
    this.nicPlug = new NicPlug(
      qmp,
      {
        machine: data.machine,
        slots: data.slots,
        nicDefaults: data.nicDefaults,
        commandTimeoutMs,
        detachTimeoutMs,
      },
      (nicId) => this.#life.emit({ type: 'nic-detached', nicId }),
    );
    this.#life = new VmLife({
      ...parts,
      detached: data.detached,
      console: data,
      endCodes: ['QMP_CLOSED'],
      close: () => this.#closeSockets(),
      reasonOf: (evidence) => exitReason({ ...evidence, shutdownReason: this.#shutdownReason }),
    });
    qmp.onEvent((event) => this.#onQmpEvent(event));
  }

  get exited(): Promise<VmExit> {
    return this.#life.exited;
  }

  get state(): VmState {
    return this.#life.state;
  }

  /** For a VM that was found paused. */
  foundPaused(): void {
    this.#life.foundPaused();
  }

  onEvent(listener: (event: VmEvent) => void): () => void {
    return this.#life.onEvent(listener);
  }

  async openChannel(name: string, options: CallOptions): Promise<Duplex> {
    const index = this.#parts.data.channels.indexOf(name);
    if (index < 0) throw new TypeError(`channel: expected one of ${this.#parts.data.channels.join(', ')}, got ${name}`);
    return this.#life.call(`open channel ${name}`, options, async (call) => {
      if (this.#channels.has(name)) throw busyChannel(name);
      this.#channels.set(name, 'opening');
      try {
        const begun = this.#untouched.delete(name)
          ? this.#begun(name)
          : await this.#awaitFreeChannel(name, index, call);
        const socket = begun ?? (await openSocket(this.#parts.runDir.channelSocket(index), call));
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
    return this.#life.call(`attach NIC ${nic.id}`, options, (call) => this.nicPlug.attach(nic, call));
  }

  detachNic(nicId: string, { onUnplugged, ...options }: DetachOptions): Promise<void> {
    return this.#life.call(`detach NIC ${nicId}`, options, async (call) => {
      this.nicPlug.table.find(nicId);
      // Unplugging takes the guest's help.
      this.#life.mustRun(`detach NIC ${nicId}`);
      await this.nicPlug.detach(nicId, call, onUnplugged);
    });
  }

  addForward(nicId: string, forward: PortForward, options: CallOptions): Promise<void> {
    return this.#life.call(`forward to NIC ${nicId}`, options, (call) => this.nicPlug.addForward(nicId, forward, call));
  }

  removeForward(nicId: string, forward: PortForward, options: CallOptions): Promise<void> {
    return this.#life.call(`forward to NIC ${nicId}`, options, (call) =>
      this.nicPlug.removeForward(nicId, forward, call),
    );
  }

  nics(): readonly AttachedNic[] {
    return this.nicPlug.table.list();
  }

  pause(options: CallOptions): Promise<void> {
    return this.#life.call('pause', options, async (call) => {
      if (this.#life.state === 'paused') return;
      await this.#execute('stop', call);
      this.#life.setPaused(true);
    });
  }

  resume(options: CallOptions): Promise<void> {
    return this.#life.call('resume', options, async (call) => {
      if (this.#life.state === 'running') return;
      await this.#execute('cont', call);
      this.#life.setPaused(false);
    });
  }

  shutdown(options: CallOptions): Promise<VmExit> {
    return this.#life.shutdown(options, (call) => this.#execute('system_powerdown', call));
  }

  kill(options: CallOptions): Promise<VmExit> {
    return this.#life.kill(options);
  }

  async saveTemplate(options: CallOptions): Promise<SavedTemplate> {
    const { template } = this.#parts.data;
    if (!template) {
      throw new HyperplugError('NOT_SUPPORTED', `VM ${this.id} was not launched as the source of a template`);
    }
    this.#life.mustLive('save as a template');
    try {
      return await this.#life.call('save as a template', options, (call) => this.#save(template, call));
    } finally {
      const signal = AbortSignal.timeout(this.#parts.commandTimeoutMs);
      await this.kill({ signal });
    }
  }

  async #save({ directory, key }: { directory: string; key: string }, call: CallOptions): Promise<SavedTemplate> {
    this.#life.mustRun('save as a template');
    const { process, qmp, runDir } = this.#parts;
    const data = await saveTo(directory, process.identity.pid, qmp, call);
    throwIfAborted(call.signal, 'save as a template');
    markSaved(runDir.path);
    return { version: 1, driver: DRIVER_NAME, key, data };
  }

  async release(): Promise<void> {
    this.#life.release();
  }

  record(): VmRecord {
    const { id, process, runDir, data } = this.#parts;
    return { version: 1, driver: DRIVER_NAME, id, process: process.identity, runDir: runDir.path, data };
  }

  #execute(command: string, call: CallOptions): Promise<JsonValue> {
    return withDeadline(`QMP ${command}`, this.#parts.commandTimeoutMs, call.signal, (limited) =>
      this.#parts.qmp.execute(command, undefined, limited),
    );
  }

  /** Waits until QEMU holds no connection of the channel: it takes one at a time and lets others wait without a word. */
  async #awaitFreeChannel(name: string, index: number, call: CallOptions): Promise<undefined> {
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

  #begun(name: string): Socket | undefined {
    const { begun } = this.#parts;
    return begun === 'adopted' ? undefined : begun.get(name);
  }

  #onQmpEvent(event: QmpEvent): void {
    switch (event.name) {
      case 'STOP':
        // QEMU also stops the vCPUs on its way out.
        if (this.#shutdownReason === undefined) this.#life.setPaused(true);
        return;
      case 'RESUME':
        this.#life.setPaused(false);
        return;
      case 'SHUTDOWN':
        this.#shutdownReason = event.data.reason;
        return;
      case 'GUEST_PANICKED':
        this.#life.tellPanic();
    }
  }

  #closeSockets(): void {
    this.#parts.qmp.close();
    for (const channel of this.#channels.values()) if (channel !== 'opening') channel.destroy();
    for (const name of this.#untouched) this.#begun(name)?.destroy();
    this.#channels.clear();
  }
}

function busyChannel(name: string): HyperplugError {
  return new HyperplugError('POD_BUSY', `channel ${name} of the VM is held elsewhere`, { details: { channel: name } });
}
