import { type Duplex, Writable } from 'node:stream';
import type { ExecExit, GuestProcess, TerminalSize } from '../core/agent.js';
import { type CallOptions, raceSignal } from '../core/calls.js';
import { HyperplugError } from '../core/errors.js';
import type { ExecRequest } from '../core/pod/types.js';
import type { Transport } from './transport.js';
import { part } from './transport.js';
import { Credit, WindowedReadable } from './wire/credit.js';
import { errorFromWire } from './wire/errors.js';
import {
  dataFrame,
  EXEC_PROTOCOL,
  FRAME,
  type Frame,
  FrameReader,
  frameJson,
  jsonFrame,
  MAX_DATA_BYTES,
  MAX_JSON_BYTES,
  WINDOW_BYTES,
} from './wire/frames.js';

/** Starts a command in a pod over a connection of its own. */
export async function startProcess(
  transport: Transport,
  podId: string,
  request: ExecRequest,
  { signal }: CallOptions,
): Promise<GuestProcess> {
  const { socket, head } = await transport.upgrade(`/v1/pods/${part(podId)}/exec`, EXEC_PROTOCOL, { signal });
  const process = new RemoteProcess(socket, head);
  socket.write(jsonFrame(FRAME.start, { request }));
  try {
    await raceSignal(process.started, signal, 'exec');
    return process;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

class RemoteProcess implements GuestProcess {
  id = '';
  readonly stdin: Writable;
  readonly stdout: WindowedReadable;
  readonly stderr: WindowedReadable;
  readonly exited: Promise<ExecExit>;
  readonly started: Promise<void>;
  readonly #reader = new FrameReader((type) =>
    type === FRAME.stdout || type === FRAME.stderr ? MAX_DATA_BYTES : MAX_JSON_BYTES,
  );
  readonly #inputCredit = new Credit(WINDOW_BYTES);
  readonly #answers = new Map<number, { resolve(): void; reject(error: unknown): void }>();
  #lastId = 0;
  #ended = false;
  #settle!: {
    started(): void;
    exited(exit: ExecExit): void;
    failed(error: unknown): void;
  };

  constructor(
    private readonly socket: Duplex,
    head: Buffer,
  ) {
    let exited!: (exit: ExecExit) => void;
    let notExited!: (error: unknown) => void;
    this.exited = new Promise((resolve, reject) => {
      exited = resolve;
      notExited = reject;
    });
    this.exited.catch(() => {});
    this.started = new Promise((resolve, reject) => {
      this.#settle = {
        started: resolve,
        exited,
        failed: (error) => {
          reject(error);
          notExited(error);
        },
      };
    });
    this.started.catch(() => {});
    this.stdout = this.#output('stdout');
    this.stderr = this.#output('stderr');
    this.stdin = new Writable({
      highWaterMark: 64 * 1024,
      write: (chunk: Buffer, _encoding, callback) => void this.#input(chunk).then(() => callback(), callback),
      final: (callback) => {
        this.#send(jsonFrame(FRAME.stdinEnd, {}));
        callback();
      },
    });
    // Who looks at the end of the process hears of broken streams there.
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', (error) => this.#lost(error));
    socket.on('end', () => this.#lost());
    socket.on('close', () => this.#lost());
    if (head.length > 0) this.#take(head);
  }

  kill(signal: number, call: CallOptions): Promise<void> {
    return this.#control(FRAME.signal, { signal }, call);
  }
  resize({ rows, columns }: TerminalSize, call: CallOptions): Promise<void> {
    return this.#control(FRAME.resize, { rows, columns }, call);
  }

  #output(stream: 'stdout' | 'stderr'): WindowedReadable {
    return new WindowedReadable((bytes) => this.#send(jsonFrame(FRAME.credit, { stream, bytes })));
  }

  async #input(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      const bytes = await this.#inputCredit.take(Math.min(chunk.length - at, MAX_DATA_BYTES));
      if (bytes === 0) throw new HyperplugError('AGENT_CLOSED', 'standard input: the command takes no more');
      for (const piece of dataFrame(FRAME.stdin, chunk.subarray(at, at + bytes))) this.#send(piece);
      at += bytes;
    }
  }

  #control(type: number, value: object, { signal }: CallOptions): Promise<void> {
    if (this.#ended) {
      return Promise.reject(
        new HyperplugError('AGENT_REFUSED', 'the process has ended already', { details: { reason: 'ended' } }),
      );
    }
    const id = ++this.#lastId;
    const answered = new Promise<void>((resolve, reject) => this.#answers.set(id, { resolve, reject }));
    this.#send(jsonFrame(type, { id, ...value }));
    return raceSignal(answered, signal, 'the command');
  }

  #take(chunk: Buffer): void {
    try {
      for (const frame of this.#reader.push(chunk)) this.#handle(frame);
    } catch (error) {
      this.#lost(error);
    }
  }

  #handle(frame: Frame): void {
    const { type, payload } = frame;
    if (type === FRAME.stdout || type === FRAME.stderr) {
      this[type === FRAME.stdout ? 'stdout' : 'stderr'].arrive(payload);
      return;
    }
    const value = frameJson(frame);
    if (type === FRAME.started) {
      this.id = String(value.id);
      this.#settle.started();
    } else if (type === FRAME.outputEnd) {
      const stream = this[value.stream === 'stderr' ? 'stderr' : 'stdout'];
      if (value.error === undefined) stream.arriveEnd();
      else stream.destroy(errorFromWire(value.error));
    } else if (type === FRAME.stdinCredit) this.#inputCredit.add(Number(value.bytes));
    else if (type === FRAME.stdinClosed) this.#closeInput(errorFromWire(value.error));
    else if (type === FRAME.answer) {
      const answer = this.#answers.get(Number(value.id));
      this.#answers.delete(Number(value.id));
      if (value.error === undefined) answer?.resolve();
      else answer?.reject(errorFromWire(value.error));
    } else if (type === FRAME.exit) {
      this.#ended = true;
      this.#settle.exited(value as unknown as ExecExit);
      this.#closeInput();
    } else if (type === FRAME.failed) this.#lost(errorFromWire(value.error));
  }

  #closeInput(error?: Error): void {
    this.#inputCredit.close();
    if (error) this.stdin.destroy(error);
  }

  #send(data: Uint8Array): void {
    if (!this.socket.destroyed && this.socket.writable) this.socket.write(data);
  }

  /** The end of the connection: all that waits knows why. After the command's own end it is no news. */
  #lost(error?: unknown): void {
    const reason =
      error === undefined || (error as NodeJS.ErrnoException).syscall !== undefined
        ? new HyperplugError('DAEMON_LOST', 'the connection to the daemon ended while a command ran', { cause: error })
        : (error as Error);
    this.#settle.failed(reason);
    this.#closeInput(this.#ended ? undefined : reason);
    for (const { reject } of this.#answers.values()) reject(reason);
    this.#answers.clear();
    for (const stream of [this.stdout, this.stderr]) stream.arriveFailure(this.#ended ? undefined : reason);
    this.#ended = true;
    this.socket.destroy();
  }
}
