import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { GuestNicConfig, GuestRoute, PodSetup, TerminalSize } from '../../../core/agent.js';
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
    this.send({ type: 'hello', version: FAKE_PROTOCOL_VERSION });
  }

  send(header: object, body?: Uint8Array): void {
    if (!this.channel.destroyed && this.channel.writable) this.channel.write(encodeFrame(header, body));
  }

  hangUp(): void {
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
      const code = call === 'exec' ? 'EXEC' : 'REFUSED';
      this.send({ type: 'error', id, code, reason: refusal.reason, errno: refusal.errno });
    }
  }

  async #perform(call: string, args: unknown, body: Buffer): Promise<Answer> {
    const { network, files } = this.guest;
    switch (call) {
      case 'ping':
      case 'onlineCpuMemory':
        return {};
      case 'startPod': {
        const { hostname, dns } = args as PodSetup;
        Object.assign(this.guest, { hostname, dns });
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
        files.set(path, body);
        return {};
      }
      case 'readFile': {
        const content = files.get(this.#path(args));
        if (!content) throw new GuestRefusal(`no such file: ${this.#path(args)}`, ENOENT);
        return { body: content };
      }
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
    const program = this.guest.programs.get(name.slice(name.lastIndexOf('/') + 1));
    if (!program) throw new GuestRefusal(`${name}: not found`, ENOENT);
    if (this.#processes.has(id)) throw new GuestRefusal(`process ${id} exists`);
    const process = new FakeGuestProcess(id, start, this);
    this.#processes.set(id, process);
    this.guest.processes.add(process);
    process.onExit = () => {
      this.#processes.delete(id);
      this.guest.processes.delete(process);
    };
    return { afterwards: () => void process.run(program) };
  }
}
