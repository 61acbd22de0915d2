import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { COMMAND, EXTENSION_VERSION } from '../../src/plugins/hyperstart/protocol.gen.js';
import { repositoryRoot } from './repository.js';

/** Bytes of one channel: waited for, taken, and (as a slow reader would) left unread. */
export class RawChannel {
  #buffer = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  closed = false;

  constructor(readonly socket: Socket) {
    socket.on('data', (data) => {
      this.#buffer = Buffer.concat([this.#buffer, data]);
      this.#wake?.();
    });
    const close = () => {
      this.closed = true;
      this.#wake?.();
    };
    socket.on('close', close);
    socket.on('error', close);
  }

  get unread(): number {
    return this.#buffer.length;
  }

  async take(bytes: number, timeoutMs = 30_000): Promise<Buffer> {
    const deadline = Date.now() + timeoutMs;
    while (this.#buffer.length < bytes) {
      if (this.closed) throw new Error(`channel closed; ${this.#buffer.length} of ${bytes} bytes had come`);
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`only ${this.#buffer.length} of ${bytes} bytes came in ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
    const taken = this.#buffer.subarray(0, bytes);
    this.#buffer = this.#buffer.subarray(bytes);
    return Buffer.from(taken);
  }

  /** The length of the next message stands `at` in its header. */
  async message(headerBytes: number, at: number): Promise<Buffer> {
    const header = await this.take(headerBytes);
    return Buffer.concat([header, await this.take(header.readUInt32BE(at) - headerBytes)]);
  }

  write(data: Uint8Array): void {
    this.socket.write(data);
  }
}

export interface RawMessage {
  readonly code: number;
  /** In the extension; else 0. */
  readonly id: number;
  readonly payload: Buffer;
}

export interface RawStream {
  readonly sequence: number;
  readonly payload: Buffer;
}

export function controlFrame(code: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(code, 0);
  header.writeUInt32BE(8 + payload.length, 4);
  return Buffer.concat([header, payload]);
}

export function streamFrame(sequence: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(12);
  header.writeBigUInt64BE(BigInt(sequence), 0);
  header.writeUInt32BE(12 + payload.length, 8);
  return Buffer.concat([header, payload]);
}

export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

export function execPayload(id: string, args: string[], stdio: number, stderr: number, more: object = {}): Buffer {
  return json({ container: 'hyperstart', process: { id, args, stdio, stderr, workdir: '/', ...more } });
}

/** One conversation, byte for byte: it checks nothing and hides nothing. */
export class RawAgent {
  extended = false;
  #id = 0;
  /** Messages that were no answers, in order. */
  readonly events: RawMessage[] = [];
  readonly #answers = new Map<number, RawMessage>();
  readonly #streams: RawStream[] = [];

  constructor(
    readonly control: RawChannel,
    readonly streams: RawChannel,
  ) {}

  async next(): Promise<RawMessage> {
    const message = await this.control.message(8, 4);
    const code = message.readUInt32BE(0);
    if (!this.extended) return { code, id: 0, payload: message.subarray(8) };
    return { code, id: message.readUInt32BE(8), payload: message.subarray(12) };
  }

  send(code: number, payload: Uint8Array = Buffer.alloc(0)): number {
    if (!this.extended) {
      this.control.write(controlFrame(code, payload));
      return 0;
    }
    const id = Buffer.alloc(4);
    id.writeUInt32BE(++this.#id);
    this.control.write(controlFrame(code, Buffer.concat([id, payload])));
    return this.#id;
  }

  async answer(id: number): Promise<RawMessage> {
    for (;;) {
      const kept = this.#answers.get(id);
      if (kept) {
        this.#answers.delete(id);
        return kept;
      }
      const message = await this.next();
      if (message.code !== COMMAND.ACK && message.code !== COMMAND.ERROR) this.events.push(message);
      else this.#answers.set(message.id, message);
    }
  }

  call(code: number, payload?: Uint8Array): Promise<RawMessage> {
    return this.answer(this.send(code, payload));
  }

  /** The JSON of an ACK; an ERROR is thrown with its text. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever the agent said
  async ack(code: number, payload?: unknown): Promise<any> {
    const answer = await this.call(code, payload === undefined ? undefined : json(payload));
    if (answer.code !== COMMAND.ACK) throw new Error(`ERROR ${answer.payload.toString()}`);
    return answer.payload.length > 0 ? JSON.parse(answer.payload.toString()) : undefined;
  }

  // biome-ignore lint/suspicious/noExplicitAny: whatever the agent said
  async refusal(code: number, payload: unknown): Promise<any> {
    const answer = await this.call(code, payload instanceof Uint8Array ? payload : json(payload));
    if (answer.code !== COMMAND.ERROR) throw new Error(`ACK ${answer.payload.toString()}`);
    return JSON.parse(answer.payload.toString());
  }

  async event(): Promise<RawMessage> {
    for (;;) {
      const kept = this.events.findIndex((event) => event.code === COMMAND.PROCESSASYNCEVENT);
      if (kept >= 0) return this.events.splice(kept, 1)[0]!;
      const message = await this.next();
      if (message.code === COMMAND.ACK || message.code === COMMAND.ERROR) this.#answers.set(message.id, message);
      else this.events.push(message);
    }
  }

  async exit(id: string): Promise<{ status: number; signal?: number }> {
    const others: RawMessage[] = [];
    for (;;) {
      const message = await this.event();
      const event = JSON.parse(message.payload.toString());
      if (event.process === id) {
        this.events.push(...others);
        return event;
      }
      others.push(message);
    }
  }

  async stream(): Promise<RawStream> {
    const kept = this.#streams.shift();
    if (kept) return kept;
    const message = await this.streams.message(12, 8);
    return { sequence: Number(message.readBigUInt64BE(0)), payload: message.subarray(12) };
  }

  /** Everything of one stream up to its end, giving credit for all; messages of the others are kept. */
  async output(sequence: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    const others: RawStream[] = [];
    for (;;) {
      const message = await this.stream();
      if (message.sequence !== sequence) {
        others.push(message);
      } else if (message.payload.length === 0) {
        this.#streams.unshift(...others);
        return Buffer.concat(parts);
      } else {
        parts.push(message.payload);
        if (this.extended) this.credit(sequence, message.payload.length);
      }
    }
  }

  input(sequence: number, payload?: Uint8Array): void {
    this.streams.write(streamFrame(sequence, payload));
  }

  credit(sequence: number, bytes: number): void {
    const payload = Buffer.alloc(16);
    payload.writeBigUInt64BE(BigInt(sequence), 4);
    payload.writeUInt32BE(bytes, 12);
    this.control.write(controlFrame(COMMAND.CREDIT, payload));
  }

  /** Begins a session of the extension, past whatever a session before has left. */
  async hello(nonce = '0123456789abcdef', window?: number): Promise<unknown> {
    this.control.write(
      controlFrame(COMMAND.GETVERSION, json({ hyperplug: EXTENSION_VERSION, nonce, ...(window && { window }) })),
    );
    this.extended = false;
    for (;;) {
      const message = await this.next();
      if (message.code !== COMMAND.ACK || !message.payload.includes(nonce)) continue;
      this.extended = true;
      const mark = Buffer.concat([streamFrame(0, Buffer.from(nonce))]);
      let seen = Buffer.alloc(0);
      this.#streams.length = 0;
      while (!seen.equals(mark)) seen = Buffer.concat([seen, await this.streams.take(1)]).subarray(-mark.length);
      this.streams.write(mark);
      return JSON.parse(message.payload.subarray(4).toString());
    }
  }

  close(): void {
    this.control.socket.destroy();
    this.streams.socket.destroy();
  }
}

/** Compiles the agent with sanitizers; compiled once per test run. */
export function buildHostAgent(): string {
  if (built) return built;
  const folder = mkdtempSync(join(tmpdir(), 'hyperplug-agent-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  execFileSync('make', ['-C', join(repositoryRoot, 'guest/agent'), 'host', `OUT=${folder}`], { stdio: 'pipe' });
  built = join(folder, 'agent-host');
  return built;
}
let built: string | undefined;

/** Without sanitizers, which have programs start in another way (sys_spawn). In `folder`. */
export function buildPlainAgent(folder: string): string {
  const sources = join(repositoryRoot, 'guest/agent');
  const files = readdirSync(sources).filter((name) => name.endsWith('.c'));
  const program = join(folder, 'agent-plain');
  execFileSync('gcc', ['-std=c11', '-D_GNU_SOURCE', '-o', program, ...files], { cwd: sources, stdio: 'pipe' });
  return program;
}

/** The agent as a program of this machine, in network, UTS, mount and PID namespaces of its own. */
export class HostAgent {
  readonly folder = mkdtempSync(join(tmpdir(), 'hyperplug-agent-run-'));
  readonly root = join(this.folder, 'root');
  stderr = '';
  #child: ChildProcess | undefined;
  #exited: Promise<number | null> | undefined;
  readonly #connections: RawAgent[] = [];

  async start(binary = buildHostAgent()): Promise<void> {
    const namespaces = ['--net', '--uts', '--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];
    const channels = ['--control', join(this.folder, 'c'), '--streams', join(this.folder, 's')];
    const child = spawn('unshare', [...namespaces, binary, ...channels, '--root', this.root, '--own-uts'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    child.stderr?.on('data', (data) => {
      this.stderr += data;
    });
    this.#exited = new Promise((resolve) => child.once('exit', resolve));
    execFileSync('mkdir', ['-p', this.root]);
  }

  /** As this machine counts; in its own PID namespace it is 1, and all it starts ends with it. */
  get pid(): number {
    const unshare = this.#child!.pid!;
    return Number(readFileSync(`/proc/${unshare}/task/${unshare}/children`, 'utf8').trim());
  }

  get running(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  async connect(): Promise<RawAgent> {
    const agent = new RawAgent(await this.#channel('c'), await this.#channel('s'));
    this.#connections.push(agent);
    return agent;
  }

  async #channel(name: string): Promise<RawChannel> {
    for (let attempt = 0; ; attempt++) {
      const socket = connect(join(this.folder, name));
      const error = await new Promise<Error | undefined>((resolve) => {
        socket.once('connect', () => resolve(undefined));
        socket.once('error', resolve);
      });
      if (!error) return new RawChannel(socket);
      if (attempt > 400 || !this.running) throw new Error(`the agent does not listen: ${error.message} ${this.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  /** Runs a program in the agent's network namespace, and gives its stdout. */
  inside(...argv: string[]): string {
    return execFileSync('nsenter', ['--target', String(this.pid), '--net', ...argv], { encoding: 'utf8' });
  }

  /** Asks it to end, and throws what a sanitizer found. */
  async stop(): Promise<void> {
    for (const agent of this.#connections) agent.close();
    if (this.running && this.pid > 1) process.kill(this.pid, 'SIGTERM');
    const late = setTimeout(() => this.#child?.kill('SIGKILL'), 20_000);
    const code = await this.#exited;
    clearTimeout(late);
    rmSync(this.folder, { recursive: true, force: true });
    if (code !== 0 || /Sanitizer|runtime error/.test(this.stderr)) {
      throw new Error(`the agent ended with ${code}: ${this.stderr}`);
    }
  }
}
