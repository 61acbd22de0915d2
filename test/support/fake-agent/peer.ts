import { type Duplex, duplexPair } from 'node:stream';
import { canonicalAddress } from '../../../src/plugins/hyperstart/addresses.js';
import { ControlDecoder, encodeControl } from '../../../src/plugins/hyperstart/control-codec.js';
import { COMMAND } from '../../../src/plugins/hyperstart/protocol.gen.js';
import { encodeMark, PatternScanner } from '../../../src/plugins/hyperstart/scanners.js';
import { encodeStreamHeader, StreamDecoder } from '../../../src/plugins/hyperstart/stream-codec.js';
import { type FakeLink, FakeNetwork, Refusal, wireFamily } from './network.js';
import { FakeProcess } from './process.js';
import { PROGRAMS } from './programs.js';

export interface FakeAgentOptions {
  /** As an original hyperstart, quirks included; else with our extension. */
  readonly original?: boolean;
  /** Send no READY: it has run before. */
  readonly resumed?: boolean;
  /** Bytes that a session before left in the control channel, in front of everything. */
  readonly staleControl?: Buffer;
  readonly staleStreams?: Buffer;
  /** What GETVERSION is answered with, instead of 4244. */
  readonly version?: number;
  /** The nonce of the answer, instead of the client's. */
  readonly nonce?: string;
  /** Changes a link before it is told, to lie. */
  readonly lie?: (link: FakeLink) => FakeLink;
}

const PIECE_BYTES = 32 * 1024;

/** The guest's end of the protocol, in this process: an original hyperstart or our agent, with programs of its own. */
export class FakeAgent {
  /** The host's ends, control first. */
  readonly channels: readonly [Duplex, Duplex];
  readonly control: Duplex;
  readonly streams: Duplex;
  readonly network = new FakeNetwork();
  readonly files = new Map<string, Buffer>();
  readonly processes = new Map<string, FakeProcess>();
  readonly received: { code: number; body: Buffer }[] = [];
  /** Takes every message before the fake does; true: it has been dealt with. */
  intercept: ((code: number, id: number, body: Buffer) => boolean) | undefined;
  /** Ends of input for processes that there are not. */
  readonly strayEnds: number[] = [];
  pod: unknown;
  nonce = '';
  /** Most bytes of each channel that were unread at a time, against the window. */
  readonly mostUnread = [0, 0];
  windowBytes = 0;
  readonly #unreported = [0, 0];
  #extension = false;
  #mark: PatternScanner | undefined;

  constructor(readonly options: FakeAgentOptions = {}) {
    const [hostControl, control] = duplexPair();
    const [hostStreams, streams] = duplexPair();
    this.channels = [hostControl, hostStreams];
    this.control = control;
    this.streams = streams;
    for (const channel of [control, streams]) channel.on('error', () => {}).setMaxListeners(0);
    if (options.staleControl) control.write(options.staleControl);
    if (options.staleStreams) streams.write(options.staleStreams);
    if (!options.resumed) control.write(encodeControl(COMMAND.READY));
    const decoder = new ControlDecoder(32 * 1024 * 1024, (code, payload) => this.#message(code, payload));
    const streamDecoder = new StreamDecoder(64 * 1024, {
      data: (sequence, piece) => this.bySequence(sequence)?.input(Buffer.from(piece)),
      end: (sequence) => {
        const process = this.bySequence(sequence);
        if (process) process.inputEnd();
        else this.strayEnds.push(sequence);
      },
    });
    control.on('data', (chunk: Buffer) => {
      if (options.original)
        for (const part of [chunk.subarray(0, 8), chunk.subarray(8)]) this.#originalNext(part.length);
      this.#read(0, chunk.length);
      decoder.push(chunk);
    });
    streams.on('data', (chunk: Buffer) => {
      this.#read(1, chunk.length);
      const rest = this.#mark ? this.#mark.push(chunk) : chunk;
      if (rest === undefined) return;
      this.#mark = undefined;
      if (rest.length > 0) streamDecoder.push(rest);
    });
  }

  /** Ends both channels, as the VM's death does. */
  die(error?: Error): void {
    this.control.destroy(error);
    this.streams.destroy(error);
    for (const channel of this.channels) channel.destroy(error);
  }

  send(code: number, id: number, body: Uint8Array = Buffer.alloc(0)): void {
    const idBytes = Buffer.alloc(4);
    idBytes.writeUInt32BE(id);
    this.control.write(this.#extension ? encodeControl(code, idBytes, body) : encodeControl(code, body));
  }

  ack(id: number, body: Uint8Array | object = Buffer.alloc(0)): void {
    this.send(COMMAND.ACK, id, body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body)));
  }

  refuse(id: number, error: { code: string; reason: string; errno?: number; field?: string }): void {
    this.send(COMMAND.ERROR, id, this.options.original ? Buffer.alloc(0) : Buffer.from(JSON.stringify(error)));
  }

  credit(sequence: number, bytes: number): void {
    if (this.options.original) return;
    const body = Buffer.alloc(12);
    body.writeBigUInt64BE(BigInt(sequence));
    body.writeUInt32BE(bytes, 8);
    this.send(COMMAND.CREDIT, 0, body);
  }

  /** Payload in messages of legal size; resolves when the channel has taken them. */
  async output(sequence: number, bytes: Buffer): Promise<void> {
    for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES) {
      const piece = bytes.subarray(offset, offset + PIECE_BYTES);
      this.streams.write(encodeStreamHeader(sequence, piece.length));
      if (!this.streams.write(piece)) await new Promise<void>((resolve) => this.streams.once('drain', resolve));
    }
  }

  outputEnd(sequence: number): void {
    this.streams.write(encodeStreamHeader(sequence, 0));
  }

  event(process: string, body: object): void {
    const event = { container: 'hyperstart', process, event: 'finished', ...body };
    this.send(COMMAND.PROCESSASYNCEVENT, 0, Buffer.from(JSON.stringify(event)));
  }

  bySequence(sequence: number): FakeProcess | undefined {
    for (const process of this.processes.values()) {
      if (process.stdio === sequence || process.stderr === sequence) return process;
    }
    return undefined;
  }

  /** The original reports each read, and reads a header first. */
  #originalNext(bytes: number): void {
    if (bytes === 0) return;
    const body = Buffer.alloc(4);
    body.writeUInt32BE(bytes);
    this.control.write(encodeControl(COMMAND.NEXT, body));
  }

  #read(channel: 0 | 1, bytes: number): void {
    if (this.windowBytes === 0) return;
    this.#unreported[channel]! += bytes;
    this.mostUnread[channel] = Math.max(this.mostUnread[channel]!, this.#unreported[channel]!);
    if (this.#unreported[channel]! < this.windowBytes / 2) return;
    const body = Buffer.alloc(8);
    body.writeUInt32BE(channel);
    body.writeUInt32BE(this.#unreported[channel]!, 4);
    this.#unreported[channel] = 0;
    setImmediate(() => this.send(COMMAND.NEXT, 0, body));
  }

  #message(code: number, payload: Buffer) {
    if (!this.options.original) return this.#handle(code, payload);
    // The original answers one turn of its loop later, when it has emptied its stdin buffers.
    const copy = Buffer.from(payload);
    setImmediate(() => this.#handle(code, copy));
  }

  #handle(code: number, payload: Buffer) {
    if (code === COMMAND.GETVERSION) return this.#version(payload);
    const id = this.#extension ? payload.readUInt32BE(0) : 0;
    const body = Buffer.from(this.#extension ? payload.subarray(4) : payload);
    this.received.push({ code, body });
    if (this.intercept?.(code, id, body)) return;
    void this.#command(code, id, body);
  }

  #version(payload: Buffer) {
    const version = Buffer.alloc(4);
    version.writeUInt32BE(this.options.version ?? 4244);
    if (this.options.original || payload.length === 0) return this.ack(0, version);
    const { nonce, window } = JSON.parse(payload.toString());
    const answer = { hyperplug: 1, agent: 'fake 1', nonce: this.options.nonce ?? nonce };
    this.nonce = nonce;
    this.windowBytes = window ?? 0;
    // Before the answer: the client's mark may come while it is written.
    this.#mark = new PatternScanner(encodeMark(nonce));
    this.#extension = true;
    this.control.write(encodeControl(COMMAND.ACK, Buffer.concat([version, Buffer.from(JSON.stringify(answer))])));
    this.streams.write(encodeMark(nonce));
  }

  #keepMachineId(): void {
    const { machineId } = this.pod as { machineId?: string };
    if (machineId !== undefined) this.files.set('/etc/machine-id', Buffer.from(`${machineId}\n`));
  }

  async #command(code: number, id: number, body: Buffer): Promise<void> {
    switch (code) {
      case COMMAND.PING:
        return this.ack(id, body);
      case COMMAND.STARTPOD:
        this.pod = JSON.parse(body.toString());
        this.#keepMachineId();
        return this.ack(id);
      case COMMAND.DESTROYPOD:
      case COMMAND.ONLINECPUMEM:
        return this.ack(id);
      case COMMAND.EXECCMD:
        return this.exec(id, JSON.parse(body.toString()).process);
      case COMMAND.SIGNALPROCESS:
      case COMMAND.WINSIZE:
        return this.#toProcess(code, id, JSON.parse(body.toString()));
      case COMMAND.WRITEFILE:
      case COMMAND.READFILE:
        return this.#file(code, id, body);
      case COMMAND.SETUPINTERFACE:
        return this.#setupInterface(id, JSON.parse(body.toString()));
      case COMMAND.DELETEINTERFACE: {
        const { mac, device } = JSON.parse(body.toString());
        const link = this.network.find((has) => (mac ? has.mac === mac : has.name === device));
        if (!link) return this.refuse(id, { code: 'NOT_FOUND', reason: `no NIC ${mac ?? device}` });
        this.network.takeDown(link);
        return this.ack(id);
      }
      case COMMAND.SETUPROUTE:
        return this.#kernel(id, () => this.network.addRoutes(JSON.parse(body.toString()).routes));
      case COMMAND.DELETEROUTE:
        return this.#kernel(id, () => this.network.removeRoutes(JSON.parse(body.toString()).routes));
      case COMMAND.GETNETWORK: {
        const { links } = this.network;
        const routes = this.network.routes.map(({ dest, gateway, metric = 0, mac, device }) => {
          return { dest, gateway, metric, device: device ?? links.find((link) => link.mac === mac)?.name };
        });
        return this.ack(id, { links: this.network.links, routes });
      }
      default:
        if (code !== COMMAND.CREDIT) return this.refuse(id, { code: 'UNKNOWN_COMMAND', reason: `code ${code}` });
        this.bySequence(Number(body.readBigUInt64BE(0)))?.granted(
          Number(body.readBigUInt64BE(0)),
          body.readUInt32BE(8),
        );
    }
  }

  /** EXECCMD; also for those that were intercepted. */
  // biome-ignore lint/suspicious/noExplicitAny: JSON
  exec(id: number, spec: any) {
    const program = PROGRAMS[spec.args[0]];
    if (!program && !this.options.original) {
      return this.refuse(id, { code: 'EXEC', reason: `${spec.args[0]}: No such file or directory`, errno: 2 });
    }
    const process = new FakeProcess(this, spec, Boolean(this.options.original));
    this.processes.set(spec.id, process);
    this.ack(id, this.options.original ? Buffer.alloc(0) : { pid: 100 });
    void process.run(program).finally(() => this.processes.delete(spec.id));
  }

  // biome-ignore lint/suspicious/noExplicitAny: JSON
  #toProcess(code: number, id: number, body: any) {
    const process = this.processes.get(body.process);
    if (!process || this.options.original) {
      return this.refuse(id, { code: 'NOT_FOUND', reason: `no process ${body.process}` });
    }
    if (code === COMMAND.WINSIZE) process.size = { rows: body.row, columns: body.column };
    this.ack(id);
    if (code === COMMAND.SIGNALPROCESS) process.signal(body.signal);
  }

  #file(code: number, id: number, body: Buffer) {
    const end = body.indexOf('}') + 1;
    const { file } = JSON.parse(body.subarray(0, end).toString());
    if (code === COMMAND.WRITEFILE) {
      this.files.set(file, Buffer.from(body.subarray(end)));
      return this.ack(id);
    }
    const content = this.files.get(file);
    if (content) this.ack(id, content);
    else this.refuse(id, { code: 'NOT_FOUND', reason: `${file}: No such file or directory`, errno: 2 });
  }

  // biome-ignore lint/suspicious/noExplicitAny: JSON
  async #setupInterface(id: number, body: any): Promise<void> {
    const known = ['device', 'newDeviceName', 'ipAddresses', 'mtu'];
    if (this.options.original && Object.keys(body).some((key) => !known.includes(key))) {
      return this.refuse(id, { code: 'INVALID', reason: '' });
    }
    const match = (link: FakeLink) => (body.mac ? link.mac === body.mac : link.name === body.device);
    const link = await this.network.waitFor(match, body.timeoutMs ?? 2000);
    if (!link) return this.refuse(id, { code: 'TIMEOUT', reason: `NIC ${body.mac ?? body.device} did not appear` });
    const address = ({ ipAddress, prefix = 24 }: { ipAddress: string; prefix?: number }) => ({
      address: canonicalAddress(ipAddress),
      prefix,
      family: wireFamily(ipAddress),
    });
    const isRemoval = ({ ipAddress }: { ipAddress: string }) => ipAddress.startsWith('-');
    const change = {
      name: body.newDeviceName,
      mtu: body.mtu || undefined,
      add: body.ipAddresses.filter((one: { ipAddress: string }) => !isRemoval(one)).map(address),
      remove: (body.removeAddresses ?? []).map(address),
    };
    this.#kernel(
      id,
      () => this.network.change(link, change),
      () => this.options.lie?.(structuredClone(link)) ?? link,
    );
  }

  /** An original sees no refusal of its kernel. */
  #kernel(id: number, body: () => void, answer: () => object = () => Buffer.alloc(0)) {
    try {
      body();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (!this.options.original) {
        this.refuse(id, { code: 'KERNEL', reason: error.message, errno: error.errno });
        return;
      }
    }
    this.ack(id, this.options.original ? Buffer.alloc(0) : answer());
  }
}
