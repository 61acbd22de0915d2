import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { GuestNicConfig, GuestRoute, PodSetup, TerminalSize } from '../../../core/agent.js';
import type { ContainerExit, ContainerSetup, GuestMount } from '../../../core/container.js';
import { encodeFrame, FAKE_PROTOCOL_VERSION, FrameDecoder, MAX_FILE_BYTES } from '../agent/frames.js';
import type { HostMessage } from '../agent/messages.js';
import type { FakeGuest } from './guest.js';
import { FakeGuestProcess, type GuestProcessStart } from './guest-process.js';
import { GuestRefusal } from './network.js';

/** How long a NIC that is to be configured may take to appear. */
const NIC_WAIT_MS = 500;
const ENOENT = 2;
const ESRCH = 3;

interface Answer {
  readonly result?: unknown;
  readonly body?: Uint8Array;
  /** Runs once the answer has been sent. */
  readonly afterwards?: () => void;
}

/** The guest's end of one conversation with a FakeAgent. */
export class GuestConversation {
  readonly #decoder = new FrameDecoder();
  readonly #processes = new Map<number, FakeGuestProcess>();

  constructor(
    readonly guest: FakeGuest,
    readonly channel: Duplex,
  ) {
    channel.on('data', (chunk: Buffer) => this.#receive(chunk));
    channel.on('close', () => this.hangUp());
    guest.containers.listeners.add(this.#tellExit);
    this.send({ type: 'hello', version: FAKE_PROTOCOL_VERSION });
  }

  send(header: object, body?: Uint8Array): void {
    if (!this.channel.destroyed && this.channel.writable) this.channel.write(encodeFrame(header, body));
  }

  readonly #tellExit = (exit: ContainerExit) => this.send({ type: 'container-exit', ...exit });

  hangUp(): void {
    this.guest.containers.listeners.delete(this.#tellExit);
    for (const process of this.#processes.values()) process.hangUp();
    this.#processes.clear();
    this.channel.destroy();
  }

  #receive(chunk: Buffer): void {
    for (const { header, body } of this.#decoder.push(chunk)) {
      const message = header as HostMessage;
      if (message.type === 'call') void this.#answer(message.id, message.call, message.args, body);
      else this.#stream(message, body);
    }
  }

  #stream(message: Exclude<HostMessage, { type: 'call' }>, body: Buffer): void {
    const process = this.#processes.get(message.process);
    if (!process) return;
    if (message.type === 'in') process.input(body);
    else if (message.type === 'in-end') process.endInput();
    else (message.stream === 1 ? process.stdout : process.stderr).giveRoom(message.bytes);
  }

  async #answer(id: number, call: string, args: unknown, body: Buffer): Promise<void> {
    try {
      const answer = await this.#perform(call, args, body);
      this.send({ type: 'ok', id, ...(answer.result !== undefined && { result: answer.result }) }, answer.body);
      answer.afterwards?.();
    } catch (error) {
      const refusal = error instanceof GuestRefusal ? error : new GuestRefusal(String(error));
      const code = (call === 'exec' || call === 'startContainer') && refusal.errno === ENOENT ? 'EXEC' : 'REFUSED';
      this.send({ type: 'error', id, code, reason: refusal.reason, errno: refusal.errno });
    }
  }

  async #perform(call: string, args: unknown, body: Buffer): Promise<Answer> {
    const { network, containers } = this.guest;
    switch (call) {
      case 'ping':
      case 'onlineCpuMemory':
        return {};
      case 'startPod': {
        const { hostname, dns, machineId } = args as PodSetup;
        Object.assign(this.guest, { hostname, dns });
        if (machineId !== undefined) this.guest.files.set('/etc/machine-id', Buffer.from(`${machineId}\n`));
        return {};
      }
      case 'destroyPod':
        return { afterwards: () => this.guest.powerOff() };
      case 'setupInterface': {
        const config = args as GuestNicConfig;
        await this.#arrived(config.mac);
        return { result: network.configure(config) };
      }
      case 'deleteInterface':
        network.takeDown((args as { mac: string }).mac);
        return {};
      case 'addRoutes':
        network.addRoutes(args as GuestRoute[]);
        return {};
      case 'removeRoutes':
        network.removeRoutes(args as GuestRoute[]);
        return {};
      case 'readNetwork':
        return { result: network.read() };
      case 'writeFile': {
        const path = this.#path(args);
        if (body.length > MAX_FILE_BYTES) throw new GuestRefusal('file too large');
        this.#files(args).set(path, body);
        return {};
      }
      case 'readFile': {
        const content = this.#files(args).get(this.#path(args));
        if (!content) throw new GuestRefusal(`no such file: ${this.#path(args)}`, ENOENT);
        return { body: content };
      }
      case 'newContainer':
        containers.create(args as ContainerSetup);
        return {};
      case 'startContainer': {
        const { id, process } = args as { id: string; process: GuestProcessStart };
        return { afterwards: containers.start(id, process) };
      }
      case 'signalContainer': {
        const { id, signal } = args as { id: string; signal: number };
        containers.signal(id, signal);
        return {};
      }
      case 'removeContainer':
        await containers.remove((args as { id: string }).id);
        return {};
      case 'listContainers':
        return { result: containers.list() };
      case 'readContainerLog': {
        const { id, offset, maxBytes } = args as { id: string; offset: number; maxBytes: number };
        return containers.log(id, offset, maxBytes);
      }
      case 'mountVolume':
        containers.mount(args as GuestMount);
        return {};
      case 'unmountVolume':
        containers.unmount((args as { path: string }).path);
        return {};
      case 'reseed':
        this.guest.entropy.push(body);
        return {};
      case 'setClock':
        this.guest.clockMs = (args as { epochMs: number }).epochMs;
        return {};
      case 'exec':
        return this.#exec(args as GuestProcessStart & { process: number });
      case 'kill': {
        const { process, signal } = args as { process: number; signal: number };
        this.#find(process).kill(signal);
        return {};
      }
      case 'resize': {
        const { process, size } = args as { process: number; size: TerminalSize };
        this.#find(process).resize(size);
        return {};
      }
      default:
        throw new GuestRefusal(`unknown call ${call}`);
    }
  }

  #path(args: unknown): string {
    const { path } = args as { path: string };
    if (!path.startsWith('/') || path.endsWith('/')) throw new GuestRefusal(`not an absolute file name: ${path}`);
    return path;
  }

  #files(args: unknown): Map<string, Buffer> {
    const { container } = args as { container?: string };
    return container === undefined ? this.guest.files : this.guest.containers.find(container).files;
  }

  #find(id: number): FakeGuestProcess {
    const process = this.#processes.get(id);
    if (!process) throw new GuestRefusal(`no process ${id}`, ESRCH);
    return process;
  }

  async #arrived(mac: string): Promise<void> {
    if (this.guest.network.find(mac)) return;
    const timer = new AbortController();
    let stop = () => {};
    const appeared = new Promise<void>((resolve) => {
      stop = this.guest.onArrival(() => {
        if (this.guest.network.find(mac)) resolve();
      });
    });
    try {
      await Promise.race([appeared, delay(NIC_WAIT_MS, undefined, { signal: timer.signal, ref: false })]);
    } finally {
      stop();
      timer.abort();
    }
  }

  #exec({ process: id, ...start }: GuestProcessStart & { process: number }): Answer {
    const name = start.argv[0] ?? '';
    const { containers } = this.guest;
    const container = start.container === undefined ? undefined : containers.find(start.container);
    const program = this.guest.findProgram(name);
    if (!program) throw new GuestRefusal(`${name}: not found`, ENOENT);
    if (this.#processes.has(id)) throw new GuestRefusal(`process ${id} exists`);
    const process = new FakeGuestProcess(id, start, this);
    this.#processes.set(id, process);
    this.guest.processes.add(process);
    process.onExit = () => {
      this.#processes.delete(id);
      this.guest.processes.delete(process);
    };
    if (container) containers.track(container, process);
    if (start.container !== undefined && start.main === true) containers.adoptMain(start.container, process);
    return { afterwards: () => void process.run(program) };
  }
}
