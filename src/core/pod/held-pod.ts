import type { Duplex, Readable } from 'node:stream';
import type { GuestProcess } from '../agent.js';
import { type CallOptions, type UserCallOptions, withDeadline } from '../calls.js';
import { HyperplugError } from '../errors.js';
import type { VmExit } from '../hypervisor.js';
import type { PortMapping } from '../network.js';
import type { Vm } from '../vm/vm.js';
import type { NicInput, PortInput } from './interface-spec.js';
import type { PodNetwork } from './pod-network.js';
import { readNics } from './read-nics.js';
import type { ExecRequest, NicChange, Pod, PodNic, PodRoute, PortSelector, RouteInput } from './types.js';

const DEFAULT_CALL_TIMEOUT_MS = 60_000;
const MAX_COLLECTED_BYTES = 64 * 1024 * 1024;

/** What a command in a pod finds in its environment unless it is told otherwise. */
const BASE_ENV = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' };

export interface HeldPodParts {
  readonly id: string;
  readonly vm: Vm;
  readonly network: PodNetwork;
  readonly consoleLogPath: string;
  readonly keep: boolean;
  /** Ends the VM and undoes all; called once. */
  remove(options: CallOptions): Promise<void>;
  /** Gives the lock back; called once. */
  letGo(): Promise<void>;
}

export class HeldPod implements Pod {
  #removed: Promise<void> | undefined;
  #released: Promise<void> | undefined;

  constructor(private readonly parts: HeldPodParts) {}

  get id(): string {
    return this.parts.id;
  }
  get nics(): readonly PodNic[] {
    return this.parts.network.nics;
  }
  get consoleLogPath(): string {
    return this.parts.consoleLogPath;
  }
  get exited(): Promise<VmExit> {
    return this.parts.vm.hypervisor.exited;
  }

  exec(request: ExecRequest, options: UserCallOptions = {}): Promise<GuestProcess> {
    if (request.argv.length === 0) throw new TypeError('argv: expected at least the program, got an empty array');
    const terminal = request.terminal ?? false;
    return this.#call('exec', options, (call) =>
      this.parts.vm.session.exec(
        {
          argv: request.argv,
          env: { ...BASE_ENV, ...(terminal ? { TERM: 'xterm' } : {}), ...request.env },
          workingDirectory: request.workingDirectory ?? '/',
          user: request.user,
          terminal,
          size: request.size,
        },
        call,
      ),
    );
  }

  async run(request: ExecRequest & { readonly input?: Uint8Array | string }, options: UserCallOptions = {}) {
    const process = await this.exec(request, options);
    const onAbort = () => {
      for (const stream of [process.stdin, process.stdout, process.stderr] as Duplex[]) stream.destroy();
    };
    options.signal?.addEventListener('abort', onAbort, { once: true });
    try {
      // The program may end without having read its input.
      process.stdin.on('error', () => {});
      process.stdin.end(request.input ?? '');
      const [exit, stdout, stderr] = await Promise.all([
        process.exited,
        collect(process.stdout),
        collect(process.stderr),
      ]);
      return { ...exit, stdout, stderr };
    } finally {
      options.signal?.removeEventListener('abort', onAbort);
    }
  }

  writeFile(path: string, content: Uint8Array, options: UserCallOptions = {}): Promise<void> {
    return this.#call('writeFile', options, (call) => this.parts.vm.session.writeFile(path, content, call));
  }

  readFile(path: string, options: UserCallOptions = {}): Promise<Buffer> {
    return this.#call('readFile', options, (call) => this.parts.vm.session.readFile(path, call));
  }

  addNics(specs: readonly NicInput[], options: UserCallOptions = {}): Promise<readonly PodNic[]> {
    return this.#call('adding NICs', options, (call) => this.parts.network.addNics(specs, call));
  }

  async addNic(spec: NicInput, options: UserCallOptions = {}): Promise<PodNic> {
    const [nic] = await this.addNics([spec], options);
    return nic as PodNic;
  }

  removeNic(id: string, options: UserCallOptions = {}): Promise<void> {
    return this.#call(`removing NIC ${id}`, options, (call) => this.parts.network.removeNic(id, call));
  }

  updateNic(id: string, change: NicChange, options: UserCallOptions = {}): Promise<PodNic> {
    return this.#call(`changing NIC ${id}`, options, (call) => this.parts.network.updateNic(id, change, call));
  }

  readNics(options: UserCallOptions = {}): Promise<readonly PodNic[]> {
    return this.#call('reading the NICs', options, (call) => readNics(this.parts.vm.session, this.nics, call));
  }

  routes(options: UserCallOptions = {}): Promise<readonly PodRoute[]> {
    return this.#call('reading routes', options, (call) => this.parts.network.routes(call));
  }

  addRoutes(routes: readonly RouteInput[], options: UserCallOptions = {}): Promise<void> {
    return this.#call('adding routes', options, (call) => this.parts.network.addRoutes(routes, call));
  }

  removeRoutes(routes: readonly RouteInput[], options: UserCallOptions = {}): Promise<void> {
    return this.#call('removing routes', options, (call) => this.parts.network.removeRoutes(routes, call));
  }

  publish(ports: readonly PortInput[], options: UserCallOptions = {}): Promise<readonly PortMapping[]> {
    return this.#call('publishing ports', options, (call) => this.parts.network.publish(ports, call));
  }

  unpublish(ports: readonly PortSelector[], options: UserCallOptions = {}): Promise<readonly PortMapping[]> {
    return this.#call('withdrawing ports', options, (call) => this.parts.network.unpublish(ports, call));
  }

  remove(options: UserCallOptions = {}): Promise<void> {
    this.#removed ??= withDeadline(
      `remove pod ${this.id}`,
      options.timeoutMs ?? DEFAULT_CALL_TIMEOUT_MS,
      options.signal,
      (call) => this.parts.remove(call),
    );
    return this.#removed;
  }

  async release(): Promise<void> {
    if (!this.parts.keep) {
      throw new HyperplugError('NOT_SUPPORTED', `pod ${this.id} was not created with keep: it ends with its creator`);
    }
    this.#released ??= (async () => {
      await this.parts.vm.release();
      await this.parts.letGo();
    })();
    return this.#released;
  }

  /** What close() of the whole does: a kept pod lives on, another one ends. */
  finish(): Promise<void> {
    if (this.#removed) return this.#removed;
    return this.parts.keep ? this.release() : this.remove();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.finish();
  }

  #call<T>(what: string, options: UserCallOptions, body: (call: CallOptions) => Promise<T>): Promise<T> {
    if (this.#removed || this.#released) {
      return Promise.reject(new HyperplugError('POD_NOT_RUNNING', `pod ${this.id} is not held any more`));
    }
    return withDeadline(
      `${what} in pod ${this.id}`,
      options.timeoutMs ?? DEFAULT_CALL_TIMEOUT_MS,
      options.signal,
      body,
    );
  }
}

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_COLLECTED_BYTES) {
      throw new HyperplugError(
        'NOT_SUPPORTED',
        `more than ${MAX_COLLECTED_BYTES} bytes of output: use exec() and its streams`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
