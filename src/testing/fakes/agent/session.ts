import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import type {
  ExecSpec,
  FileTarget,
  GuestNetwork,
  GuestNic,
  GuestNicConfig,
  GuestProcess,
  GuestRoute,
  GuestSession,
  PodSetup,
  SessionFeatures,
} from '../../../core/agent.js';
import { type CallOptions, raceSignal, throwIfAborted } from '../../../core/calls.js';
import type {
  ContainerExit,
  ContainerLog,
  ContainerProcess,
  ContainerSetup,
  GuestContainer,
  GuestMount,
  GuestStats,
} from '../../../core/container.js';
import { fieldError, HyperplugError } from '../../../core/errors.js';
import type { FakeAgent } from './agent.js';
import { encodeFrame, FAKE_PROTOCOL_VERSION, type Frame, FrameDecoder, MAX_FILE_BYTES } from './frames.js';
import { containersSchema, type GuestMessage, guestMessage, linkSchema, logSchema, networkSchema } from './messages.js';
import { FakeAgentProcess } from './process.js';

interface Waiting {
  resolve(frame: { readonly result: unknown; readonly body: Buffer }): void;
  reject(error: HyperplugError): void;
}

export const FAKE_FEATURES: SessionFeatures = Object.freeze({
  nicByMac: true,
  readNetwork: true,
  errorTexts: true,
  streamCredit: true,
  ipv6: true,
  containers: true,
  volumes: true,
  renewal: true,
  stats: false,
});

/** The host's end of one conversation. Methods are small so that a test can put a defect into one of them. */
export class FakeSession implements GuestSession {
  readonly features: SessionFeatures = FAKE_FEATURES;
  readonly description = `fake ${FAKE_PROTOCOL_VERSION}`;
  readonly closed: Promise<Error>;
  readonly greeted: Promise<void>;
  protected readonly waiting = new Map<number, Waiting>();
  protected readonly processes = new Map<number, FakeAgentProcess>();
  /** Calls whose caller went away; their answers still come. */
  protected readonly abandoned = new Set<number>();
  protected over: HyperplugError | undefined;
  readonly #decoder = new FrameDecoder();
  readonly #exitListeners = new Set<(exit: ContainerExit) => void>();
  #lastId = 0;
  #tellClosed: (reason: Error) => void = () => {};
  #greet: { resolve(): void; reject(error: Error): void } | undefined;

  constructor(
    readonly agent: FakeAgent,
    readonly channel: Duplex,
  ) {
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
    this.greeted = new Promise((resolve, reject) => {
      this.#greet = { resolve, reject };
    });
    this.greeted.catch(() => {});
    channel.on('data', (chunk: Buffer) => this.receive(chunk));
    channel.on('error', (error) =>
      this.end(new HyperplugError('AGENT_CLOSED', 'the channel failed', { cause: error })),
    );
    const closed = () => this.end(new HyperplugError('AGENT_CLOSED', 'the channel to the agent closed'));
    channel.on('end', closed);
    channel.on('close', closed);
  }

  protected receive(chunk: Buffer): void {
    if (this.over) return;
    try {
      for (const frame of this.#decoder.push(chunk)) this.handle(frame);
    } catch (cause) {
      const words = cause instanceof Error ? cause.message : String(cause);
      this.end(new HyperplugError('AGENT_PROTOCOL', `the agent broke the protocol: ${words.slice(0, 500)}`, { cause }));
    }
  }

  protected handle({ header, body }: Frame): void {
    const message: GuestMessage = guestMessage.parse(header);
    switch (message.type) {
      case 'hello':
        this.greeting(message.version);
        return;
      case 'ok':
        this.take(message.id)?.resolve({ result: message.result, body });
        return;
      case 'error':
        this.take(message.id)?.reject(this.refusal(message));
        return;
      case 'container-exit': {
        const { container, exitCode, signal } = message;
        const exit = { container, exitCode, ...(signal === undefined ? {} : { signal }) };
        for (const listener of [...this.#exitListeners]) listener(exit);
        return;
      }
    }
    const process = this.processes.get(message.process);
    // Of a process that nobody holds any more.
    if (!process) return;
    const { type } = message;
    if (type === 'out' && !process.deliver(message.stream, body)) throw new Error('output beyond the room given');
    if (type === 'out-end') process.finish(message.stream);
    if (type === 'room' && !process.stdin.giveRoom(message.bytes)) throw new Error('room beyond the window');
    if (type === 'exit') {
      const { exitCode, signal } = message;
      process.ended(signal === undefined ? { exitCode } : { exitCode, signal });
    }
  }

  protected greeting(version: number): void {
    if (version === FAKE_PROTOCOL_VERSION) {
      this.#greet?.resolve();
      return;
    }
    const what = `the agent speaks version ${version}, expected ${FAKE_PROTOCOL_VERSION}`;
    this.end(
      new HyperplugError('AGENT_VERSION', what, { details: { expected: FAKE_PROTOCOL_VERSION, received: version } }),
    );
  }

  protected refusal(message: Extract<GuestMessage, { type: 'error' }>): HyperplugError {
    const { reason, errno, code } = message;
    const details = errno === undefined ? { reason } : { reason, errno };
    return new HyperplugError(code === 'EXEC' ? 'AGENT_EXEC_FAILED' : 'AGENT_REFUSED', `the agent: ${reason}`, {
      details,
    });
  }

  /** @throws at an answer to nothing. */
  protected take(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    if (!waiting && !this.abandoned.delete(id)) throw new Error(`an answer to call ${id}, which was not made`);
    this.waiting.delete(id);
    return waiting;
  }

  /** The conversation is over; the first reason is the one. */
  protected end(reason: HyperplugError): void {
    if (this.over) return;
    this.over = reason;
    this.#greet?.reject(reason);
    this.failAll(reason);
    this.channel.destroy();
    this.#tellClosed(reason);
  }

  protected failAll(reason: HyperplugError): void {
    for (const waiting of this.waiting.values()) waiting.reject(reason);
    this.waiting.clear();
    for (const process of this.processes.values()) process.fail(reason);
    this.processes.clear();
  }

  send(header: object, body?: Uint8Array): void {
    if (!this.over) this.channel.write(encodeFrame(header, body));
  }

  async call(
    name: string,
    args: unknown,
    { signal }: CallOptions,
    body?: Uint8Array,
  ): Promise<{ readonly result: unknown; readonly body: Buffer }> {
    if (this.over) throw this.afterEnd();
    throwIfAborted(signal, name);
    const id = ++this.#lastId;
    const answered = new Promise<{ readonly result: unknown; readonly body: Buffer }>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
    });
    this.send({ type: 'call', id, call: name, args }, body);
    try {
      return await raceSignal(answered, signal, name);
    } finally {
      if (this.waiting.delete(id)) this.abandoned.add(id);
    }
  }

  protected afterEnd(): HyperplugError {
    return new HyperplugError('AGENT_CLOSED', 'the conversation with the agent is over', { cause: this.over });
  }

  /** What the guest gave, checked. */
  protected checked<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const error = new HyperplugError('AGENT_PROTOCOL', 'the agent gave a malformed answer', { cause: parsed.error });
    this.end(error);
    throw error;
  }

  async startPod(setup: PodSetup, options: CallOptions): Promise<void> {
    await this.call('startPod', setup, options);
  }

  async destroyPod(options: CallOptions): Promise<void> {
    await this.call('destroyPod', {}, options);
  }

  async ping(options: CallOptions): Promise<void> {
    await this.call('ping', {}, options);
  }

  async setupInterface(config: GuestNicConfig, options: CallOptions): Promise<GuestNic> {
    return this.checked(linkSchema, (await this.call('setupInterface', config, options)).result);
  }

  async deleteInterface(nic: { readonly mac: string }, options: CallOptions): Promise<void> {
    await this.call('deleteInterface', { mac: nic.mac }, options);
  }

  async addRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void> {
    await this.call('addRoutes', routes, options);
  }

  async removeRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void> {
    await this.call('removeRoutes', routes, options);
  }

  async readNetwork(options: CallOptions): Promise<GuestNetwork> {
    return this.checked(networkSchema, (await this.call('readNetwork', {}, options)).result) as GuestNetwork;
  }

  async exec(spec: ExecSpec, options: CallOptions): Promise<GuestProcess> {
    if (spec.terminal) this.ensureDeclared(this.agent.capabilities.terminal, 'terminal');
    const process = new FakeAgentProcess(this, ++this.#lastId, spec.terminal);
    this.processes.set(process.number, process);
    try {
      await this.call('exec', { ...spec, process: process.number }, options);
    } catch (error) {
      this.processes.delete(process.number);
      process.stdin.destroy();
      throw error;
    }
    const bothEnded = [process.stdout, process.stderr].map(
      (stream) => new Promise<void>((resolve) => stream.on('close', resolve)),
    );
    void Promise.all([process.exited, ...bothEnded]).then(
      () => this.processes.delete(process.number),
      () => {},
    );
    return process;
  }

  protected ensureDeclared(declared: boolean, what: string): void {
    if (!declared) throw new HyperplugError('NOT_SUPPORTED', `agent ${this.agent.name} does not declare ${what}`);
  }

  async writeFile(path: string, content: Uint8Array, options: CallOptions, target: FileTarget = {}): Promise<void> {
    this.ensureDeclared(this.agent.capabilities.files, 'files');
    if (content.length > MAX_FILE_BYTES) {
      const error = fieldError('AGENT_REFUSED', 'content', `at most ${MAX_FILE_BYTES} bytes`, content.length);
      throw new HyperplugError('AGENT_REFUSED', error.message, {
        details: { ...error.details, reason: error.message },
      });
    }
    await this.call('writeFile', { ...target, path }, options, content);
  }

  async readFile(path: string, options: CallOptions, target: Pick<FileTarget, 'container'> = {}): Promise<Buffer> {
    this.ensureDeclared(this.agent.capabilities.files, 'files');
    return (await this.call('readFile', { ...target, path }, options)).body;
  }

  async onlineCpuMemory(options: CallOptions): Promise<void> {
    this.ensureDeclared(this.agent.capabilities.onlineCpuMemory, 'onlineCpuMemory');
    await this.call('onlineCpuMemory', {}, options);
  }

  async newContainer(setup: ContainerSetup, options: CallOptions): Promise<void> {
    await this.call('newContainer', setup, options);
  }

  async startContainer(id: string, process: ContainerProcess, options: CallOptions): Promise<void> {
    await this.call('startContainer', { id, process }, options);
  }

  async signalContainer(id: string, signal: number, options: CallOptions): Promise<void> {
    await this.call('signalContainer', { id, signal }, options);
  }

  async removeContainer(id: string, options: CallOptions): Promise<void> {
    await this.call('removeContainer', { id }, options);
  }

  async listContainers(options: CallOptions): Promise<readonly GuestContainer[]> {
    const { result } = await this.call('listContainers', {}, options);
    return this.checked(containersSchema, result) as GuestContainer[];
  }

  async readContainerLog(
    id: string,
    { offset, maxBytes = 1 << 20 }: { readonly offset: number; readonly maxBytes?: number },
    options: CallOptions,
  ): Promise<ContainerLog> {
    const { result, body } = await this.call('readContainerLog', { id, offset, maxBytes }, options);
    return { ...this.checked(logSchema, result), content: body };
  }

  onContainerExit(listener: (exit: ContainerExit) => void): () => void {
    const own = (exit: ContainerExit) => listener(exit);
    this.#exitListeners.add(own);
    return () => void this.#exitListeners.delete(own);
  }

  async mountVolume(mount: GuestMount, options: CallOptions): Promise<void> {
    await this.call('mountVolume', mount, options);
  }

  async unmountVolume(path: string, options: CallOptions): Promise<void> {
    await this.call('unmountVolume', { path }, options);
  }

  async reseed(entropy: Uint8Array, options: CallOptions): Promise<void> {
    await this.call('reseed', {}, options, entropy);
  }

  async setClock(epochMs: number, options: CallOptions): Promise<void> {
    await this.call('setClock', { epochMs }, options);
  }

  async readStats(): Promise<GuestStats> {
    throw new HyperplugError('NOT_SUPPORTED', 'a fake guest counts nothing');
  }

  async close(): Promise<void> {
    this.end(new HyperplugError('AGENT_CLOSED', 'the conversation was closed'));
  }
}
