import { existsSync } from 'node:fs';
import { rm, unlink, writeFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type CallOptions, raceSignal, throwIfAborted } from '../../core/calls.js';
import { HyperplugError, hasCode, isHyperplugError } from '../../core/errors.js';
import type {
  AttachedNic,
  HypervisorVm,
  PortForward,
  VmEvent,
  VmExit,
  VmNic,
  VmRecord,
  VmState,
} from '../../core/hypervisor.js';
import { killProcess } from '../../host/process.js';
import { type DatagramOwner, UnixDatagramSocket } from '../../host/unix-datagram.js';
import { consoleTellsPanic } from '../../host/vmm/console-panic.js';
import type { VmProcess } from '../../host/vmm/vm-process.js';
import { exitReason } from './exit-reason.js';
import { openFifos } from './fifo-channel.js';
import { Mconsole } from './mconsole.js';
import { decodeNotification, MAX_DATAGRAM_BYTES, type Notification } from './mconsole-codec.js';
import { NicPlug } from './nic-plug.js';
import { SlirpNetworks, type SlirpTools } from './slirp.js';
import { SOCKETS_FD, UMID, type UmlRunDir } from './uml-run-dir.js';
import { DRIVER_NAME, type RecordData } from './vm-record.js';

export interface UmlVmParts {
  readonly id: string;
  readonly runDir: UmlRunDir;
  readonly process: VmProcess;
  readonly data: RecordData;
  readonly commandTimeoutMs: number;
  readonly slirpTools: () => Promise<SlirpTools>;
  /** What UML tells, from its start on or from now on. */
  readonly notifications: NotificationSource;
  /** Its console's size is; undefined: since long. */
  readonly limited?: Promise<void>;
}

/** Ctrl-Alt-Del is pressed again while nothing happens: a guest that was still booting may not have felt it. */
const SHUTDOWN_INTERVAL_MS = 3_000;
/** Long enough for what the guest wrote last to be read. */
const CHANNEL_END_MS = 500;

/** UML's notifications, for one listener at a time. */
export class NotificationSource {
  #listener: ((notification: Notification) => void) | undefined;
  readonly #early: Notification[] = [];
  #socket: UnixDatagramSocket | undefined;

  /** Takes the place of whoever listened there before. */
  static async open(path: string, owner: DatagramOwner | undefined): Promise<NotificationSource> {
    await unlink(path).catch(() => {});
    const source = new NotificationSource();
    source.#socket = await UnixDatagramSocket.bind(path, { maxBytes: MAX_DATAGRAM_BYTES, owner }, (bytes) => {
      const notification = decodeNotification(bytes);
      if (!notification) return;
      if (source.#listener) source.#listener(notification);
      else source.#early.push(notification);
    });
    return source;
  }

  listen(listener: (notification: Notification) => void): void {
    this.#listener = listener;
    for (const each of this.#early.splice(0)) listener(each);
  }

  close(): void {
    this.#socket?.close();
  }
}

export class UmlVm implements HypervisorVm {
  readonly id: string;
  readonly netnsPath: string;
  readonly exited: Promise<VmExit>;
  readonly nicPlug: NicPlug;
  #state: VmState = 'running';
  #exit: VmExit | undefined;
  #released = false;
  #killed = false;
  #panicked = false;
  readonly #console: Mconsole;
  readonly #networks: SlirpNetworks;
  readonly #gone = new AbortController();
  readonly #listeners = new Set<(event: VmEvent) => void>();
  readonly #channels = new Map<string, Duplex>();
  readonly #parts: UmlVmParts;

  constructor(parts: UmlVmParts) {
    this.id = parts.id;
    this.#parts = parts;
    const { data, runDir, process, commandTimeoutMs } = parts;
    this.netnsPath = `/proc/${process.identity.pid}/ns/net`;
    // Means the same to both: UML answers to the address that it is asked from.
    const directory = `/proc/${data.main.pid}/fd/${SOCKETS_FD}`;
    const owner = data.user ?? undefined;
    this.#console = new Mconsole({ target: `${directory}/${UMID}/mconsole`, directory, owner, commandTimeoutMs });
    this.#networks = new SlirpNetworks({ runDir, init: process.identity, user: data.user, tools: parts.slirpTools });
    const { slots } = data;
    this.nicPlug = new NicPlug(
      this.#console,
      this.#networks,
      { slots, nicsFile: runDir.nicsFile, pid: process.identity.pid },
      (nicId) => this.#emit({ type: 'nic-detached', nicId }),
    );
    parts.notifications.listen(({ type }) => {
      if (type === 'panic') this.#tellPanic();
    });
    this.exited = process.exited.then((end) => this.#finish(end.exitCode, end.signal));
  }

  get state(): VmState {
    return this.#state;
  }

  onEvent(listener: (event: VmEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async openChannel(name: string, options: CallOptions): Promise<Duplex> {
    const index = this.#parts.data.channels.indexOf(name);
    if (index < 0) throw new TypeError(`channel: expected one of ${this.#parts.data.channels.join(', ')}, got ${name}`);
    return this.#call(`open channel ${name}`, options, async ({ signal }) => {
      if (this.#parts.limited) await raceSignal(this.#parts.limited, signal, 'limit of the console');
      const channel = openFifos(this.#parts.runDir.channelFifos(index), name);
      channel.on('error', () => {});
      this.#channels.set(name, channel);
      channel.once('close', () => this.#channels.delete(name));
      return channel;
    });
  }

  attachNic(nic: VmNic, options: CallOptions): Promise<AttachedNic> {
    return this.#call(`attach NIC ${nic.id}`, options, async (call) => {
      this.#mustRun(`attach NIC ${nic.id}`);
      return this.nicPlug.attach(nic, call);
    });
  }

  detachNic(nicId: string, options: CallOptions): Promise<void> {
    return this.#call(`detach NIC ${nicId}`, options, async (call) => {
      this.nicPlug.table.find(nicId);
      this.#mustRun(`detach NIC ${nicId}`);
      await this.nicPlug.detach(nicId, call);
    });
  }

  addForward(nicId: string, forward: PortForward, options: CallOptions): Promise<void> {
    return this.#call(`forward to NIC ${nicId}`, options, (call) => {
      const { slot } = this.nicPlug.table.find(nicId);
      // Who waits for the guest's link waits for the guest.
      this.#mustRun(`forward to NIC ${nicId}`);
      return this.#networks.addForward(slot, forward, call);
    });
  }

  removeForward(nicId: string, forward: PortForward, options: CallOptions): Promise<void> {
    return this.#call(`forward to NIC ${nicId}`, options, (call) =>
      this.#networks.removeForward(this.nicPlug.table.find(nicId).slot, forward, call),
    );
  }

  nics(): readonly AttachedNic[] {
    return this.nicPlug.table.list();
  }

  pause(options: CallOptions): Promise<void> {
    return this.#call('pause', options, async (call) => {
      if (this.#state === 'paused') return;
      await writeFile(this.#parts.runDir.pausedFile, '');
      await this.#toggle('stop', call);
      this.#setPaused(true);
    });
  }

  resume(options: CallOptions): Promise<void> {
    return this.#call('resume', options, async (call) => {
      if (this.#state === 'running') return;
      await rm(this.#parts.runDir.pausedFile, { force: true });
      await this.#toggle('go', call);
      this.#setPaused(false);
    });
  }

  /** For an adopted VM: UML does not tell whether it is paused, so it is told what the last manager meant, once more. */
  async recover(call: CallOptions): Promise<void> {
    const paused = existsSync(this.#parts.runDir.pausedFile);
    if (!paused) {
      await this.#toggle('go', call);
      await this.nicPlug.recover(call);
      return;
    }
    await this.nicPlug.recover(call);
    await this.#toggle('stop', call);
    this.#state = 'paused';
  }

  async shutdown(options: CallOptions): Promise<VmExit> {
    try {
      return await this.#call('shutdown', options, async (call) => {
        for (;;) {
          this.#mustRun('shutdown');
          await this.#console.command('cad', call);
          const again = delay(SHUTDOWN_INTERVAL_MS, undefined, { ref: false });
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

  async release(): Promise<void> {
    if (this.#released || this.#exit) return;
    if (!this.#parts.data.detached) {
      throw new HyperplugError('NOT_SUPPORTED', `VM ${this.id} dies with this process: it was not launched detached`);
    }
    this.#released = true;
    this.#gone.abort(this.#notRunning('call'));
    this.#parts.process.release();
    this.#close();
    for (const channel of this.#channels.values()) channel.destroy();
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
      if (!all.some((each) => hasCode(each, 'VM_EXITED'))) throw error;
      if (this.#released) throw this.#notRunning(what);
      // The console's end comes a moment before the process's.
      const exit = await Promise.race([this.exited, delay(1_000, undefined, { ref: false })]);
      throw exit ? exitedError(this.id, what, exit, error) : error;
    }
  }

  /** "Already stopped", "Not stopped": another manager did it. */
  async #toggle(command: 'stop' | 'go', call: CallOptions): Promise<void> {
    try {
      await this.#console.command(command, call);
    } catch (error) {
      if (!hasCode(error, 'MCONSOLE_ERROR') || !/^(Already|Not) stopped/.test(String(error.details.words))) throw error;
    }
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

  #setPaused(paused: boolean): void {
    const state = paused ? 'paused' : 'running';
    if (this.#state === state || this.#state === 'exited') return;
    this.#state = state;
    this.#emit({ type: paused ? 'paused' : 'resumed' });
  }

  #tellPanic(): void {
    if (this.#panicked || this.#exit) return;
    this.#panicked = true;
    this.#emit({ type: 'panicked' });
  }

  async #finish(exitCode: number | null, signal: string | null): Promise<VmExit> {
    const { process, runDir, data } = this.#parts;
    this.#gone.abort(new HyperplugError('VM_EXITED', `VM ${this.id} exited`));
    const stderrTail = await process.stderrTail();
    if (await consoleTellsPanic(data.consoleLogPath, data.consoleStart)) this.#tellPanic();
    const panicked = this.#panicked;
    const reason = exitReason({ killed: this.#killed, panicked, exitCode, signal, stderrTail });
    const exit: VmExit = { reason, exitCode, signal, stderrTail };
    this.#close();
    this.#endChannels();
    // What fails here is tried again by kill() and destroy(), which report it.
    if (!this.#released) await runDir.removeFiles().catch(() => {});
    this.#exit = exit;
    this.#state = 'exited';
    this.#emit({ type: 'exited', exit });
    return exit;
  }

  #close(): void {
    this.#console.close();
    this.#networks.close();
    this.#parts.notifications.close();
  }

  /** They end by themselves once all is read; a reader that does not read is not waited for. */
  #endChannels(): void {
    const channels = [...this.#channels.values()];
    if (channels.length === 0) return;
    setTimeout(() => {
      for (const channel of channels) channel.destroy();
    }, CHANNEL_END_MS).unref();
  }

  #emit(event: VmEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }
}

function exitedError(id: string, what: string, exit: VmExit, cause: unknown): HyperplugError {
  const words = exit.stderrTail.trim();
  return new HyperplugError('VM_EXITED', `${what}: VM ${id} ended: ${exit.reason}${words === '' ? '' : `: ${words}`}`, {
    cause,
    details: { id, ...exit },
  });
}
