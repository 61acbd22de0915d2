import { setTimeout as delay } from 'node:timers/promises';
import { type CallOptions, raceSignal, throwIfAborted } from '../../core/calls.js';
import type { ErrorCode } from '../../core/error-codes.js';
import { HyperplugError, hasCode, isHyperplugError } from '../../core/errors.js';
import type { VmEvent, VmExit, VmState } from '../../core/hypervisor.js';
import { killProcess } from '../process.js';
import { consoleTellsPanic } from './console-panic.js';
import type { VmProcess } from './vm-process.js';

export interface VmLifeParts {
  readonly id: string;
  readonly process: VmProcess;
  /** It outlives this process. */
  readonly detached: boolean;
  readonly console: { readonly consoleLogPath: string; readonly consoleStart: number };
  readonly runDir: { removeFiles(): Promise<void> };
  /** What a call fails with whose VM ends meanwhile, VM_EXITED apart: that of the monitor. */
  readonly endCodes?: readonly ErrorCode[];
  /** Lets go of everything that is open towards the VM; of one that has ended, what it wrote last may still be read. */
  close(why: 'exited' | 'released'): void;
  reasonOf(evidence: ExitEvidence): VmExit['reason'];
}

/** What was seen of a VM's process that has ended. */
export interface ExitEvidence {
  /** kill() was called. */
  readonly killed: boolean;
  /** The hypervisor told so, or the console ends in the kernel's words for it. */
  readonly panicked: boolean;
  /** Of our child; both null for an adopted VM. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stderrTail: string;
}

/** How long after a monitor's end the process's may come. */
const END_MS = 1_000;
/** The button is pressed again while nothing happens: a guest that was still booting has not felt it. */
const PRESS_INTERVAL_MS = 3_000;

/** What is the same of every VM that is a process: its states and events, calls that end with it, and its end. */
export class VmLife {
  readonly exited: Promise<VmExit>;
  #state: VmState = 'running';
  #exit: VmExit | undefined;
  #released = false;
  #killed = false;
  #panicked = false;
  readonly #gone = new AbortController();
  readonly #listeners = new Set<(event: VmEvent) => void>();

  constructor(private readonly parts: VmLifeParts) {
    this.exited = parts.process.exited.then(({ exitCode, signal }) => this.#finish(exitCode, signal));
  }

  get state(): VmState {
    return this.#state;
  }

  onEvent(listener: (event: VmEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(event: VmEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }

  /** Runs a call that ends with the VM: VM_NOT_RUNNING when it is gone already, VM_EXITED when it goes meanwhile. */
  async call<T>(what: string, { signal }: CallOptions, body: (call: CallOptions) => Promise<T>): Promise<T> {
    this.mustLive(what);
    throwIfAborted(signal, what);
    const combined = AbortSignal.any([signal, this.#gone.signal]);
    try {
      return await body({ signal: combined });
    } catch (error) {
      // An undo that failed for the same reason is in one error with what it was for.
      const all = isHyperplugError(error) ? [error, ...error.errors] : [error];
      if (!all.some((each) => hasCode(each, 'VM_EXITED', ...(this.parts.endCodes ?? [])))) throw error;
      if (this.#released) throw this.#notRunning(what);
      const exit = await Promise.race([this.exited, delay(END_MS, undefined, { ref: false })]);
      throw exit ? exitedError(this.parts.id, what, exit, error) : error;
    }
  }

  /** @throws VM_NOT_RUNNING it has ended, is being killed, or is another manager's. */
  mustLive(what: string): void {
    if (this.#exit || this.#released || this.#killed) throw this.#notRunning(what);
  }

  /** @throws VM_NOT_RUNNING it is paused: for what the guest has to help with. */
  mustRun(what: string): void {
    if (this.#state === 'running') return;
    const { id } = this.parts;
    throw new HyperplugError('VM_NOT_RUNNING', `${what}: VM ${id} is ${this.#state}; the guest has to help`, {
      details: { id, state: this.#state },
    });
  }

  setPaused(paused: boolean): void {
    const state = paused ? 'paused' : 'running';
    if (this.#state === state || this.#state === 'exited') return;
    this.#state = state;
    this.emit({ type: paused ? 'paused' : 'resumed' });
  }

  /** For a VM that was found so: nobody is told. */
  foundPaused(): void {
    this.#state = 'paused';
  }

  tellPanic(): void {
    if (this.#panicked || this.#exit) return;
    this.#panicked = true;
    this.emit({ type: 'panicked' });
  }

  /** `press` asks the guest to go down. */
  async shutdown(options: CallOptions, press: (call: CallOptions) => Promise<unknown>): Promise<VmExit> {
    const what = `shutdown of VM ${this.parts.id}`;
    try {
      return await this.call('shutdown', options, async (call) => {
        for (;;) {
          this.mustRun('shutdown');
          await press(call);
          const again = delay(PRESS_INTERVAL_MS, undefined, { ref: false });
          const exit = await raceSignal(Promise.race([this.exited, again]), call.signal, what);
          if (exit) return exit;
        }
      });
    } catch (error) {
      // It went down: that is what was asked.
      if (!hasCode(error, 'VM_EXITED')) throw error;
      return raceSignal(this.exited, options.signal, what);
    }
  }

  async kill(options: CallOptions): Promise<VmExit> {
    if (this.#released) throw this.#notRunning('kill');
    if (this.#exit === undefined) {
      this.#killed = true;
      await killProcess(this.parts.process.identity, options);
    }
    const exit = await raceSignal(this.exited, options.signal, `kill of VM ${this.parts.id}`);
    // Again, should the removal at its exit have failed.
    await this.parts.runDir.removeFiles();
    return exit;
  }

  /** The VM goes on without this process. @throws NOT_SUPPORTED it was not launched so. */
  release(): void {
    if (this.#released || this.#exit) return;
    const { id, detached, process } = this.parts;
    if (!detached) {
      throw new HyperplugError('NOT_SUPPORTED', `VM ${id} dies with this process: it was not launched detached`);
    }
    this.#released = true;
    this.#gone.abort(this.#notRunning('call'));
    process.release();
    this.parts.close('released');
    this.#listeners.clear();
  }

  #notRunning(what: string): HyperplugError {
    const { id } = this.parts;
    const state = this.#released ? 'released' : this.#exit ? 'exited' : 'being killed';
    return new HyperplugError('VM_NOT_RUNNING', `${what}: VM ${id} is ${state}`, { details: { id, state } });
  }

  async #finish(exitCode: number | null, signal: string | null): Promise<VmExit> {
    const { id, process, console, runDir } = this.parts;
    this.#gone.abort(new HyperplugError('VM_EXITED', `VM ${id} exited`));
    const stderrTail = await process.stderrTail();
    const panicked = this.#panicked || (await consoleTellsPanic(console.consoleLogPath, console.consoleStart));
    const reason = this.parts.reasonOf({ killed: this.#killed, panicked, exitCode, signal, stderrTail });
    const exit: VmExit = { reason, exitCode, signal, stderrTail };
    this.parts.close('exited');
    // What fails here is tried again by kill() and destroy(), which report it.
    if (!this.#released) await runDir.removeFiles().catch(() => {});
    if (reason === 'panicked') this.tellPanic();
    this.#exit = exit;
    this.#state = 'exited';
    this.emit({ type: 'exited', exit });
    return exit;
  }
}

function exitedError(id: string, what: string, exit: VmExit, cause: unknown): HyperplugError {
  const words = exit.stderrTail.trim();
  return new HyperplugError('VM_EXITED', `${what}: VM ${id} ended: ${exit.reason}${words === '' ? '' : `: ${words}`}`, {
    cause,
    details: { id, ...exit },
  });
}
