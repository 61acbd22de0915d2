import type { ChildProcess } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { type Duplex, PassThrough } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import {
  type AttachedNic,
  abortError,
  type CallOptions,
  HyperplugError,
  type HypervisorVm,
  killProcess,
  type PortForward,
  type ProcessIdentity,
  raceSignal,
  throwIfAborted,
  type VmEvent,
  type VmExit,
  type VmNic,
  type VmRecord,
  type VmState,
  waitGone,
} from 'hyperplug';
import type { QmpClient, QmpEvent } from './qmp.js';
import { channelPath, removeFiles, stderrTail } from './run-dir.js';

export interface RunningParts {
  readonly driver: string;
  readonly id: string;
  readonly runDir: string;
  readonly channels: readonly string[];
  readonly detached: boolean;
  readonly nics: readonly AttachedNic[];
  readonly process: ProcessIdentity;
  readonly qmp: QmpClient;
  /** Absent: another manager launched it. */
  readonly child?: ChildProcess;
  readonly paused?: boolean;
}

/** SHUTDOWN's reasons (qapi/run-state.json, ShutdownCause) that are the guest's doing. */
const REASONS: Readonly<Record<string, VmExit['reason']>> = {
  'guest-shutdown': 'shutdown',
  'guest-reset': 'shutdown',
  'guest-panic': 'panicked',
};

/** One VM that runs: its state, its events and its end. What is not declared is refused. */
export class RunningVm implements HypervisorVm {
  readonly id: string;
  readonly exited: Promise<VmExit>;
  readonly #listeners = new Set<{ readonly call: (event: VmEvent) => void }>();
  readonly #channels = new Map<string, Duplex>();
  readonly #unwatched = new AbortController();
  #paused: boolean;
  #reason: VmExit['reason'] | undefined;
  #exit: VmExit | undefined;
  #released = false;

  constructor(readonly parts: RunningParts) {
    this.id = parts.id;
    this.#paused = parts.paused ?? false;
    this.exited = new Promise((resolve) => void this.#watch(resolve));
  }

  /** Waits for the end of the process, then removes what it left, then tells. */
  async #watch(tell: (exit: VmExit) => void): Promise<void> {
    const { child, process, qmp, runDir } = this.parts;
    try {
      if (child) await ended(child, this.#unwatched.signal);
      else await waitGone(process, { signal: this.#unwatched.signal });
    } catch {
      return; // released
    }
    qmp.close();
    for (const channel of this.#channels.values()) channel.destroy();
    const tail = stderrTail(runDir);
    await removeFiles(runDir).catch(() => {});
    const [exitCode, signal] = [child?.exitCode ?? null, child?.signalCode ?? null];
    const reason = this.#reason ?? (signal ? 'killed' : child ? 'crashed' : 'unknown');
    this.#exit = Object.freeze({ reason, exitCode, signal, stderrTail: tail });
    this.#emit({ type: 'exited', exit: this.#exit });
    tell(this.#exit);
  }

  /** An event of QEMU's. */
  take({ event, data }: QmpEvent): void {
    if (event === 'STOP' && !this.#paused) this.#setPaused(true);
    else if (event === 'RESUME' && this.#paused) this.#setPaused(false);
    else if (event === 'GUEST_PANICKED') {
      this.#reason ??= 'panicked';
      this.#emit({ type: 'panicked' });
    } else if (event === 'SHUTDOWN') this.#reason ??= REASONS[String(data?.reason)] ?? 'killed';
  }

  #setPaused(paused: boolean): void {
    // A guest that panicked or powers off is stopped first; that is its end and no pause.
    if (this.#reason) return;
    this.#paused = paused;
    this.#emit({ type: paused ? 'paused' : 'resumed' });
  }

  #emit(event: VmEvent): void {
    for (const { call } of [...this.#listeners]) call(event);
  }

  get state(): VmState {
    if (this.#exit) return 'exited';
    return this.#paused ? 'paused' : 'running';
  }

  onEvent(listener: (event: VmEvent) => void): () => void {
    const entry = { call: listener };
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  #ensureRunning(): void {
    if (!this.#exit && !this.#released) return;
    const why = this.#exit ? `has exited: ${this.#exit.reason}` : 'was released';
    throw new HyperplugError('VM_NOT_RUNNING', `VM ${this.id} ${why}`);
  }

  /** Waits no longer than the VM and the signal live. */
  #wait<T>(promise: Promise<T>, signal: AbortSignal, what: string): Promise<T> {
    const died = this.exited.then(({ reason }) => {
      throw new HyperplugError('VM_EXITED', `${what}: VM ${this.id} exited: ${reason}`);
    });
    // The connection to QEMU closes a moment before its process is seen to be gone.
    const alive = promise.catch((error: unknown) => {
      if (error instanceof Error && (error as { code?: unknown }).code === 'QMP_CLOSED') return died;
      throw error;
    });
    died.catch(() => {});
    return raceSignal(Promise.race([alive, died]), signal, what);
  }

  async openChannel(name: string, { signal }: CallOptions): Promise<Duplex> {
    this.#ensureRunning();
    throwIfAborted(signal, `open channel ${name}`);
    const at = this.parts.channels.indexOf(name);
    if (at < 0) throw new HyperplugError('VM_SPEC_INVALID', `VM ${this.id} has no channel ${name}`);
    if (this.#channels.has(name)) throw new HyperplugError('POD_BUSY', `channel ${name} of VM ${this.id} is open`);
    // Taken from now on, also while it opens.
    const opening = new PassThrough();
    this.#channels.set(name, opening);
    try {
      const socket = await this.#wait(connected(channelPath(this.parts.runDir, at), signal), signal, `channel ${name}`);
      this.#channels.set(name, socket);
      socket.once('close', () => this.#channels.delete(name));
      return socket;
    } catch (error) {
      this.#channels.delete(name);
      throw error;
    } finally {
      opening.destroy();
    }
  }

  async pause({ signal }: CallOptions): Promise<void> {
    await this.#setRunning(false, signal);
  }

  async resume({ signal }: CallOptions): Promise<void> {
    await this.#setRunning(true, signal);
  }

  async #setRunning(running: boolean, signal: AbortSignal): Promise<void> {
    this.#ensureRunning();
    const command = running ? 'cont' : 'stop';
    throwIfAborted(signal, command);
    if (this.#paused === !running) return;
    // Its event comes before its answer.
    await this.#wait(this.parts.qmp.execute(command, {}, { signal }), signal, command);
  }

  async shutdown({ signal }: CallOptions): Promise<VmExit> {
    this.#ensureRunning();
    if (this.#paused) throw new HyperplugError('VM_NOT_RUNNING', `VM ${this.id} is paused`);
    throwIfAborted(signal, 'shutdown');
    await this.#wait(this.parts.qmp.execute('system_powerdown', {}, { signal }), signal, 'shutdown').catch((error) => {
      if (!this.#exit) throw error;
    });
    return raceSignal(this.exited, signal, `shutdown of VM ${this.id}`);
  }

  async kill({ signal }: CallOptions): Promise<VmExit> {
    if (this.#released) throw new HyperplugError('VM_NOT_RUNNING', `VM ${this.id} was released`);
    if (this.#exit) return this.#exit;
    // Even when the caller has given up: a VM that is half killed helps nobody.
    this.#reason ??= 'killed';
    const gone = killProcess(this.parts.process, { signal: AbortSignal.timeout(30_000) }).then(() => this.exited);
    return raceSignal(gone, signal, `kill VM ${this.id}`);
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#ensureRunning();
    if (!this.parts.detached) throw new HyperplugError('NOT_SUPPORTED', `VM ${this.id} was not launched as detached`);
    this.#released = true;
    this.#listeners.clear();
    this.#unwatched.abort();
    this.parts.qmp.close();
    for (const channel of this.#channels.values()) channel.destroy();
  }

  nics(): readonly AttachedNic[] {
    return this.parts.nics;
  }

  record(): VmRecord {
    const { driver, id, runDir, process, nics, channels } = this.parts;
    const data = { channels, nics: nics.map((nic) => ({ ...nic })) };
    return { version: 1, driver, id, process, runDir, data };
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

  async #undeclared(what: string): Promise<never> {
    this.#ensureRunning();
    throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${this.parts.driver} does not declare ${what}`);
  }
}

/** The end of our own child. @throws the reason of the signal. */
function ended(child: ChildProcess, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => resolve());
    signal.addEventListener('abort', () => reject(abortError(signal, 'released')), { once: true });
  });
}

/** QEMU takes one connection at a time and notices a moment late that the last one has gone: until then it is EAGAIN. */
async function connected(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    throwIfAborted(signal, `connect to ${path}`);
    const socket = connect(path);
    try {
      await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
      socket.removeAllListeners('error');
      return socket;
    } catch (error) {
      socket.destroy();
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      await pause(10);
    }
  }
}
