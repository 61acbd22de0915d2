import type { GuestProcess } from '../agent.js';
import { type CallOptions, type UserCallOptions, withDeadline } from '../calls.js';
import { HyperplugError } from '../errors.js';
import type { VmExit } from '../hypervisor.js';
import { ExecProcess } from './exec/process.js';
import type { ExecOptions, ExecRequest, PodProcess } from './exec/types.js';
import { HandleFiles } from './files/handle-files.js';
import type { PodFiles } from './files/types.js';
import { HandleNics, HandlePorts, HandleRoutes } from './handle-network.js';
import type { PodNics, PodPorts, PodRoutes } from './nic-types.js';
import type { PodBackend } from './pod-backend.js';
import { endedWith } from './pod-end.js';
import { PodEvents } from './pod-events.js';
import type { Pod } from './pod-types.js';
import type { EventOptions, LogOptions, PodDetails, PodEvent, PodEventType, PodStats } from './pods-api.js';

const DEFAULT_CALL_TIMEOUT_MS = 60_000;

/** What a command in a pod finds in its environment unless it is told otherwise. */
export const BASE_ENV = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' };

/** Runs a call with a deadline, where the pod is held. */
export type Guarded = <T>(
  what: string,
  options: UserCallOptions,
  body: (call: CallOptions) => Promise<T>,
) => Promise<T>;

/** What users hold, whatever way leads to the pod. */
export class PodHandle implements Pod {
  readonly nics: PodNics;
  readonly ports: PodPorts;
  readonly routes: PodRoutes;
  readonly files: PodFiles;
  readonly #events: PodEvents;
  #removed: Promise<void> | undefined;
  /** A removal has failed. */
  #failed = false;
  #released: Promise<void> | undefined;

  constructor(private readonly backend: PodBackend) {
    const guarded: Guarded = (what, options, body) => this.#call(what, options, body);
    this.nics = new HandleNics(backend, guarded);
    this.ports = new HandlePorts(backend, guarded);
    this.routes = new HandleRoutes(backend, guarded);
    this.files = new HandleFiles(backend, guarded, (argv, options) => this.exec(argv, options));
    this.#events = new PodEvents(backend);
  }

  get id(): string {
    return this.backend.id;
  }
  get consoleLogPath(): string {
    return this.backend.consoleLogPath;
  }
  get exited(): Promise<VmExit> {
    return this.backend.exited;
  }

  exec<const O extends ExecOptions = ExecOptions>(argv: readonly string[], options?: O): PodProcess<O> {
    return new ExecProcess<O>(
      argv,
      options ?? ({} as O),
      (request, signal) => this.spawn(request, { signal }),
      (error) => endedWith(this.backend, error),
    );
  }

  async spawn(request: ExecRequest, options: UserCallOptions = {}): Promise<GuestProcess> {
    if (request.argv.length === 0) throw new TypeError('argv: expected at least the program, got an empty array');
    const env = { ...BASE_ENV, ...(request.terminal ? { TERM: 'xterm' } : {}), ...request.env };
    return this.#call('exec', options, (call) => this.backend.spawn({ ...request, env }, call));
  }

  async pause(options: UserCallOptions = {}): Promise<void> {
    await this.#held(() => this.backend.life.pause(this.id, options));
  }
  async resume(options: UserCallOptions = {}): Promise<void> {
    await this.#held(() => this.backend.life.resume(this.id, options));
  }
  stop(options: UserCallOptions & { readonly graceMs?: number } = {}): Promise<PodDetails> {
    return this.#held(() => this.backend.life.stop(this.id, options));
  }
  wait(options: UserCallOptions = {}): Promise<PodDetails> {
    return this.backend.life.wait(this.id, options);
  }
  status(options: UserCallOptions = {}): Promise<PodDetails> {
    return this.backend.life.inspect(this.id, options);
  }
  stats(options: UserCallOptions = {}): Promise<PodStats> {
    return this.backend.life.stats(this.id, options);
  }
  logs(options: LogOptions = {}): AsyncIterable<Uint8Array> {
    return this.backend.life.logs(this.id, options);
  }
  events(options: Omit<EventOptions, 'pods'> = {}): AsyncIterable<PodEvent> {
    return this.backend.life.events({ ...options, pods: [this.id] });
  }
  on<T extends PodEventType>(type: T | '*', listener: (event: PodEvent & { readonly type: T }) => void): () => void {
    return this.#events.on(type, listener);
  }
  once<T extends PodEventType>(type: T, options: UserCallOptions = {}): Promise<PodEvent & { readonly type: T }> {
    return this.#events.once(type, options);
  }

  remove(options: UserCallOptions = {}): Promise<void> {
    if (this.#removed) return this.#removed;
    const timeoutMs = options.timeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    const removed = withDeadline(`remove pod ${this.id}`, timeoutMs, options.signal, (call) =>
      this.backend.remove(call),
    ).finally(() => this.#events.close());
    this.#removed = removed;
    // It is not held any more, and to remove it can be tried again.
    removed.catch(() => {
      this.#failed = true;
      if (this.#removed === removed) this.#removed = undefined;
    });
    return removed;
  }

  async release(): Promise<void> {
    if (!this.backend.keep) {
      throw new HyperplugError('NOT_SUPPORTED', `pod ${this.id} was not created with keep: it ends with its creator`);
    }
    this.#released ??= this.backend.release().finally(() => this.#events.close());
    return this.#released;
  }

  /** What close() of the whole does: a kept pod lives on, another one ends. */
  finish(): Promise<void> {
    if (this.#removed) return this.#removed;
    return this.backend.keep ? this.release() : this.remove();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.finish();
  }

  #call<T>(what: string, options: UserCallOptions, body: (call: CallOptions) => Promise<T>): Promise<T> {
    const timeoutMs = options.timeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    return this.#held(() => withDeadline(`${what} in pod ${this.id}`, timeoutMs, options.signal, body));
  }

  #held<T>(body: () => Promise<T>): Promise<T> {
    if (!this.#removed && !this.#released && !this.#failed) return body();
    return Promise.reject(new HyperplugError('POD_NOT_RUNNING', `pod ${this.id} is not held any more`));
  }
}
