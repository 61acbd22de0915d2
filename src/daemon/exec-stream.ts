import type { Duplex, Readable } from 'node:stream';
import { Credit } from '../client/wire/credit.js';
import { errorToWire } from '../client/wire/errors.js';
import {
  dataFrame,
  FRAME,
  type Frame,
  FrameReader,
  frameJson,
  jsonFrame,
  MAX_DATA_BYTES,
  MAX_JSON_BYTES,
  malformed,
  WINDOW_BYTES,
} from '../client/wire/frames.js';
import type { GuestProcess } from '../core/agent.js';
import { withDeadline } from '../core/calls.js';
import { parsed } from './parsed.js';
import { creditFrame, resizeFrame, signalFrame } from './schemas/pod.js';

const CONTROL_TIMEOUT_MS = 10_000;
const LAST_WORDS_MS = 5_000;
const SMALL_JSON_BYTES = 4 * 1024;
/** Answers that the client does not read: of a client that only asks. */
const MAX_PENDING_CONTROLS = 64;

const maxPayloadBytes = (type: number): number => {
  if (type === FRAME.start) return MAX_JSON_BYTES;
  return type === FRAME.stdin ? MAX_DATA_BYTES : SMALL_JSON_BYTES;
};

/**
 * The daemon's end of an upgraded connection: one command. Each stream has a window of its own, so that one that nobody
 * reads holds up neither the others nor the connection, and what is buffered here is bounded.
 */
export class ExecStream {
  readonly #reader = new FrameReader(maxPayloadBytes);
  readonly #credits = { stdout: new Credit(WINDOW_BYTES), stderr: new Credit(WINDOW_BYTES) };
  #process: GuestProcess | undefined;
  #starting = false;
  #inputBytes = 0;
  #controls = 0;
  #closed = false;

  constructor(
    private readonly socket: Duplex,
    private readonly start: (request: Record<string, unknown>) => Promise<GuestProcess>,
    private readonly onClose: () => void,
  ) {
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('end', () => {
      this.#close();
      socket.destroy();
    });
    socket.on('error', () => this.#close());
    socket.on('close', () => this.#close());
  }

  /** What came before the connection was ours. */
  feed(head: Buffer): void {
    if (head.length > 0) this.#take(head);
  }

  #take(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      for (const frame of this.#reader.push(chunk)) this.#handle(frame);
    } catch (error) {
      this.#fail(error);
    }
  }

  #handle(frame: Frame): void {
    if (frame.type === FRAME.start) {
      if (this.#starting) throw malformed('frame start: expected once');
      this.#starting = true;
      void this.#run(frameJson(frame));
      return;
    }
    const process = this.#process;
    if (frame.type === FRAME.credit) {
      const { stream, bytes } = parsed(creditFrame, frameJson(frame), 'credit');
      this.#credits[stream].add(bytes);
      return;
    }
    if (!process) throw malformed(`frame ${frame.type}: expected after the command has started`);
    if (frame.type === FRAME.stdin) this.#input(process, frame.payload);
    else if (frame.type === FRAME.stdinEnd) process.stdin.end();
    else if (frame.type === FRAME.signal) {
      const { id, signal } = parsed(signalFrame, frameJson(frame), 'signal');
      this.#control(id, 'send a signal', (call) => process.kill(signal, call));
    } else if (frame.type === FRAME.resize) {
      const { id, ...size } = parsed(resizeFrame, frameJson(frame), 'resize');
      this.#control(id, 'resize the terminal', (call) => process.resize(size, call));
    } else throw malformed(`frame ${frame.type}: expected a known type`);
  }

  async #run(request: Record<string, unknown>): Promise<void> {
    let process: GuestProcess;
    try {
      process = await this.start(request);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#process = process;
    process.stdin.on('error', (error) => this.#send(jsonFrame(FRAME.stdinClosed, { error: errorToWire(error) })));
    this.#send(jsonFrame(FRAME.started, { id: process.id }));
    const outputs = Promise.all([this.#pump(process.stdout, 'stdout'), this.#pump(process.stderr, 'stderr')]);
    try {
      this.#send(jsonFrame(FRAME.exit, await process.exited));
    } catch (error) {
      this.#send(jsonFrame(FRAME.failed, { error: errorToWire(error) }));
    }
    await outputs;
    // Half-closed: the client has much to read yet, and says what it has read as it goes.
    if (!this.#closed) this.socket.end();
  }

  #input(process: GuestProcess, data: Buffer): void {
    this.#inputBytes += data.length;
    if (this.#inputBytes > WINDOW_BYTES) throw malformed(`stdin: expected at most ${WINDOW_BYTES} bytes at a time`);
    if (process.stdin.destroyed || process.stdin.writableEnded) return;
    process.stdin.write(data, (error) => {
      if (error) return;
      this.#inputBytes -= data.length;
      this.#send(jsonFrame(FRAME.stdinCredit, { bytes: data.length }));
    });
  }

  async #pump(output: Readable, stream: 'stdout' | 'stderr'): Promise<void> {
    const type = FRAME[stream];
    try {
      for await (const chunk of output as AsyncIterable<Buffer>) {
        for (let at = 0; at < chunk.length; ) {
          const bytes = await this.#credits[stream].take(Math.min(chunk.length - at, MAX_DATA_BYTES));
          if (bytes === 0) return;
          for (const part of dataFrame(type, chunk.subarray(at, at + bytes))) this.#send(part);
          at += bytes;
        }
      }
      this.#send(jsonFrame(FRAME.outputEnd, { stream }));
    } catch (error) {
      this.#send(jsonFrame(FRAME.outputEnd, { stream, error: errorToWire(error) }));
    }
  }

  #control(id: number, what: string, act: Parameters<typeof withDeadline<void>>[3]): void {
    if (this.#controls >= MAX_PENDING_CONTROLS)
      throw malformed(`expected at most ${MAX_PENDING_CONTROLS} signals at a time`);
    this.#controls += 1;
    withDeadline(what, CONTROL_TIMEOUT_MS, undefined, act)
      .then(
        () => this.#send(jsonFrame(FRAME.answer, { id })),
        (error: unknown) => this.#send(jsonFrame(FRAME.answer, { id, error: errorToWire(error) })),
      )
      .finally(() => {
        this.#controls -= 1;
      });
  }

  #send(data: Uint8Array): void {
    // What is written is bounded: by the windows, and by the number of controls under way.
    if (!this.#closed) this.socket.write(data);
  }

  /** Told, and over. */
  #fail(error: unknown): void {
    if (this.#closed) return;
    endSocket(this.socket, jsonFrame(FRAME.failed, { error: errorToWire(error) }));
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const credit of Object.values(this.#credits)) credit.close();
    this.onClose();
  }
}

/** Last words, and the end: with or without the other side. */
export function endSocket(socket: Duplex, words: Uint8Array | string = ''): void {
  const timer = setTimeout(() => socket.destroy(), LAST_WORDS_MS);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
  socket.end(words, () => socket.destroy());
}
