import { Readable, Writable } from 'node:stream';
import type { ExecExit, GuestProcess, TerminalSize } from '../../../core/agent.js';
import type { CallOptions } from '../../../core/calls.js';
import { HyperplugError } from '../../../core/errors.js';
import { STREAM_WINDOW_BYTES } from './frames.js';
import type { FakeSession } from './session.js';

const CHUNK_BYTES = 32 << 10;

/** Gives the guest room again as its reader reads. */
class OutputStream extends Readable {
  #queue: Buffer[] = [];
  #room = STREAM_WINDOW_BYTES;
  #wants = false;
  #ended = false;

  constructor(readonly giveRoom: (bytes: number) => void) {
    super({ highWaterMark: STREAM_WINDOW_BYTES });
  }

  /** False: the guest sent more than it had room for. */
  deliver(chunk: Buffer): boolean {
    this.#room -= chunk.length;
    if (this.#room < 0) return false;
    if (this.destroyed) this.#consumed(chunk.length);
    else {
      this.#queue.push(chunk);
      this.#flow();
    }
    return true;
  }

  #consumed(bytes: number): void {
    this.#room += bytes;
    this.giveRoom(bytes);
  }

  #flow(): void {
    while (this.#wants && this.#queue.length > 0) {
      const chunk = this.#queue.shift() as Buffer;
      this.#wants = this.push(chunk);
      this.#consumed(chunk.length);
    }
    if (this.#ended && this.#queue.length === 0) this.push(null);
  }

  finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#flow();
  }

  override _read(): void {
    this.#wants = true;
    this.#flow();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // Nobody reads it any more: the guest's process is not held up by that.
    const dropped = this.#queue.splice(0).reduce((sum, chunk) => sum + chunk.length, 0);
    if (dropped > 0) this.#consumed(dropped);
    callback(error);
  }
}

class InputStream extends Writable {
  #room = STREAM_WINDOW_BYTES;
  #waiting: (() => void) | undefined;

  constructor(
    readonly send: (chunk: Uint8Array) => void,
    readonly sendEnd: () => void,
  ) {
    super({ highWaterMark: CHUNK_BYTES });
  }

  /** False: the guest gave more room than it had taken. */
  giveRoom(bytes: number): boolean {
    this.#room += bytes;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
    return this.#room <= STREAM_WINDOW_BYTES;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    let at = 0;
    while (at < chunk.length) {
      const size = Math.min(chunk.length - at, this.#room, CHUNK_BYTES);
      if (size === 0) {
        const rest = chunk.subarray(at);
        this.#waiting = () => this._write(rest, 'binary' as BufferEncoding, callback);
        return;
      }
      this.#room -= size;
      this.send(chunk.subarray(at, at + size));
      at += size;
    }
    callback();
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.sendEnd();
    callback();
  }
}

/** One process in the guest, as FakeSession's user holds it. */
export class FakeAgentProcess implements GuestProcess {
  readonly id: string;
  readonly stdin: InputStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly exited: Promise<ExecExit>;
  #exit: ExecExit | undefined;
  #settle: { resolve(exit: ExecExit): void; reject(error: Error): void } | undefined;

  constructor(
    readonly session: FakeSession,
    readonly number: number,
    readonly terminal: boolean,
  ) {
    this.id = String(number);
    const process = number;
    this.stdin = new InputStream(
      (chunk) => session.send({ type: 'in', process }, chunk),
      () => session.send({ type: 'in-end', process }),
    );
    const room = (stream: 1 | 2) => (bytes: number) => session.send({ type: 'room', process, stream, bytes });
    this.stdout = new OutputStream(room(1));
    this.stderr = new OutputStream(room(2));
    if (terminal) this.stderr.finish();
    this.exited = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.exited.catch(() => {});
  }

  /** False: the guest may not say that. */
  deliver(stream: 1 | 2, chunk: Buffer): boolean {
    return (stream === 1 ? this.stdout : this.stderr).deliver(chunk);
  }

  finish(stream: 1 | 2): void {
    (stream === 1 ? this.stdout : this.stderr).finish();
  }

  ended(exit: ExecExit): void {
    this.#exit = exit;
    this.#settle?.resolve(exit);
    // What is still unwritten has no reader.
    this.stdin.destroy();
  }

  fail(error: Error): void {
    this.#settle?.reject(error);
    for (const stream of [this.stdin, this.stdout, this.stderr]) {
      // A stream whose end was read needs no error.
      stream.on('error', () => {});
      stream.destroy(error);
    }
  }

  #ensureLives(): void {
    if (!this.#exit) return;
    throw new HyperplugError('AGENT_REFUSED', `process ${this.id} has ended`, { details: { reason: 'it has ended' } });
  }

  async kill(signal: number, options: CallOptions): Promise<void> {
    this.#ensureLives();
    await this.session.call('kill', { process: this.number, signal }, options);
  }

  async resize(size: TerminalSize, options: CallOptions): Promise<void> {
    this.#ensureLives();
    if (!this.terminal) {
      throw new HyperplugError('AGENT_REFUSED', `process ${this.id} has no terminal`, {
        details: { reason: 'it has no terminal' },
      });
    }
    await this.session.call('resize', { process: this.number, size }, options);
  }
}
