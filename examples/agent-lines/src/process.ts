import { Readable, Writable } from 'node:stream';
import { type CallOptions, type ExecExit, type GuestProcess, HyperplugError, type TerminalSize } from 'hyperplug';
import type { Conversation, GuestEvent } from './conversation.js';

/** Of standard input, what the guest holds for the pipe (WINDOW of agent.c). */
const INPUT_WINDOW_BYTES = 64 << 10;
/** Of each output, what the guest may send before we have told that it was read. */
export const OUTPUT_WINDOW_BYTES = 256 << 10;
const CHUNK_BYTES = 16 << 10;

/** One program in the guest. Nobody sends more of a stream than the other end has room for. */
export class LinesProcess implements GuestProcess {
  readonly id: string;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exited: Promise<ExecExit>;
  #tellExit: (exit: ExecExit) => void = () => {};
  #failExit: (error: Error) => void = () => {};
  #inputRoom = INPUT_WINDOW_BYTES;
  #hasRoom: (() => void) | undefined;
  /** Output that was passed on and whose room is not given back yet, by descriptor. */
  readonly #owed = [0, 0, 0];
  readonly #outstanding = [0, 0, 0];
  #ended = false;

  constructor(
    readonly conversation: Conversation,
    readonly number: number,
    /** Nothing more will come of it. */
    readonly onOver: () => void,
  ) {
    this.id = String(number);
    this.exited = new Promise((resolve, reject) => {
      this.#tellExit = resolve;
      this.#failExit = reject;
    });
    this.exited.catch(() => {});
    this.stdin = new Writable({
      write: (chunk: Buffer, _encoding, done) => void this.#input(chunk).then(() => done(), done),
      final: (done) => {
        conversation.send({ do: 'eof', process: number });
        done();
      },
      destroy: (error, done) => {
        conversation.send({ do: 'eof', process: number });
        this.#wake();
        done(error);
      },
    });
    this.stdout = this.#output(1);
    this.stderr = this.#output(2);
  }

  #output(fd: number): Readable {
    return new Readable({
      highWaterMark: OUTPUT_WINDOW_BYTES,
      read: () => this.#giveRoom(fd),
      destroy: (error, done) => {
        // What still comes is thrown away, so that the program is not held up.
        this.#giveRoom(fd);
        done(error);
      },
    });
  }

  #giveRoom(fd: number): void {
    const bytes = this.#owed[fd] ?? 0;
    if (bytes === 0) return;
    this.#owed[fd] = 0;
    this.#outstanding[fd] = (this.#outstanding[fd] ?? 0) - bytes;
    this.conversation.send({ do: 'room', process: this.number, fd, bytes });
  }

  async #input(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      if (this.#ended || this.conversation.over) return;
      if (this.stdin.destroyed) return;
      const size = Math.min(this.#inputRoom, CHUNK_BYTES, chunk.length - at);
      if (size === 0) {
        await new Promise<void>((resolve) => {
          this.#hasRoom = resolve;
        });
        continue;
      }
      this.#inputRoom -= size;
      this.conversation.send({ do: 'in', process: this.number, data: chunk.toString('base64', at, at + size) });
      at += size;
    }
  }

  #wake(): void {
    this.#hasRoom?.();
    this.#hasRoom = undefined;
  }

  /** False: the guest says what it may not. */
  take({ event, fd = 0, data = '', bytes = 0, code = 0, signal = 0 }: GuestEvent): boolean {
    if (event === 'room') {
      this.#inputRoom += bytes;
      this.#wake();
      return this.#inputRoom <= INPUT_WINDOW_BYTES;
    }
    if (event === 'exit') {
      this.#ended = true;
      this.#wake();
      this.#tellExit(Object.freeze(signal > 0 ? { exitCode: code, signal } : { exitCode: code }));
      this.#checkOver();
      return code <= 255;
    }
    const stream = fd === 1 ? this.stdout : fd === 2 ? this.stderr : undefined;
    if (!stream) return false;
    if (event === 'end') {
      stream.push(null);
      this.#overs.add(fd);
      this.#checkOver();
      return true;
    }
    const chunk = Buffer.from(data, 'base64');
    this.#outstanding[fd] = (this.#outstanding[fd] ?? 0) + chunk.length;
    if ((this.#outstanding[fd] ?? 0) > OUTPUT_WINDOW_BYTES) return false;
    this.#owed[fd] = (this.#owed[fd] ?? 0) + chunk.length;
    if (stream.destroyed || stream.push(chunk)) this.#giveRoom(fd);
    return true;
  }

  readonly #overs = new Set<number>();
  #checkOver(): void {
    if (this.#ended && this.#overs.size === 2) this.onOver();
  }

  /** The conversation is over. */
  fail(error: Error): void {
    this.#failExit(error);
    this.#wake();
    for (const stream of [this.stdin, this.stdout, this.stderr]) {
      if (stream.listenerCount('error') === 0) stream.on('error', () => {});
      stream.destroy(error);
    }
  }

  async kill(signal: number, options: CallOptions): Promise<void> {
    await this.conversation.request('kill', { process: this.number, signal }, options);
  }

  async resize(_size: TerminalSize, _options: CallOptions): Promise<void> {
    throw new HyperplugError('NOT_SUPPORTED', 'agent lines does not declare terminal');
  }
}
