import { PassThrough, Writable } from 'node:stream';
import type { TerminalSize } from '../../../core/agent.js';
import { STREAM_WINDOW_BYTES } from '../agent/frames.js';
import type { Program } from './types.js';

export interface GuestProcessStart {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly user?: string;
  readonly terminal: boolean;
  readonly size?: TerminalSize;
  readonly container?: string;
  readonly main?: boolean;
}

/** How a process speaks to the host; calls after the conversation ended do nothing. */
export interface GuestProcessLink {
  send(header: object, body?: Uint8Array): void;
}

const CHUNK_BYTES = 32 << 10;

/** An output stream that never sends more than the host has room for. */
class OutputStream extends Writable {
  #room = STREAM_WINDOW_BYTES;
  #waiting: (() => void) | undefined;

  constructor(
    readonly process: number,
    readonly stream: 1 | 2,
    readonly link: () => GuestProcessLink | undefined,
  ) {
    super({ highWaterMark: CHUNK_BYTES });
  }

  giveRoom(bytes: number): void {
    this.#room += bytes;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.#send(chunk, 0, callback);
  }

  #send(chunk: Buffer, from: number, callback: () => void): void {
    let at = from;
    while (at < chunk.length) {
      const link = this.link();
      if (!link) break;
      const size = Math.min(chunk.length - at, this.#room, CHUNK_BYTES);
      if (size === 0) {
        this.#waiting = () => this.#send(chunk, at, callback);
        return;
      }
      this.#room -= size;
      const { process, stream } = this;
      link.send({ type: 'out', process, stream }, chunk.subarray(at, at + size));
      at += size;
    }
    callback();
  }

  override _final(callback: () => void): void {
    const { process, stream } = this;
    this.link()?.send({ type: 'out-end', process, stream });
    callback();
  }
}

export class FakeGuestProcess {
  readonly stdin = new PassThrough();
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly #kill = new AbortController();
  /** Number of the signal that ended it. */
  #signal: number | undefined;
  /** Once it has ended. */
  exitCode: number | undefined;
  #terminal: TerminalSize | undefined;
  /** Runs after the exit has been told. */
  onExit: () => void = () => {};

  constructor(
    readonly id: number,
    readonly start: GuestProcessStart,
    private link: GuestProcessLink | undefined,
  ) {
    this.stdout = new OutputStream(id, 1, () => this.link);
    this.stderr = new OutputStream(id, 2, () => this.link);
    // A program that goes on writing after it was killed is nobody's concern.
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream.on('error', () => {});
    this.#terminal = start.terminal ? (start.size ?? { rows: 24, columns: 80 }) : undefined;
  }

  async run(program: Program): Promise<void> {
    const { start } = this;
    const self = this;
    const io = {
      argv: start.argv,
      env: start.env,
      workingDirectory: start.workingDirectory,
      user: start.user ?? 'root',
      stdin: this.stdin,
      stdout: this.stdout,
      // A terminal has one output.
      stderr: start.terminal ? this.stdout : this.stderr,
      get terminal() {
        return self.#terminal;
      },
      killed: this.#kill.signal,
    };
    let exitCode = 1;
    const dead = new Promise<number>((resolve) => {
      this.#kill.signal.addEventListener('abort', () => resolve(128 + (this.#signal ?? 9)), { once: true });
    });
    try {
      exitCode = await Promise.race([Promise.resolve(program(io)), dead]);
    } catch {
      if (this.#signal !== undefined) exitCode = 128 + this.#signal;
    }
    const signal = this.#signal === undefined ? {} : { signal: this.#signal };
    const ends = [this.stdout, this.stderr].map((stream) => new Promise<void>((resolve) => stream.end(resolve)));
    this.exitCode = exitCode & 255;
    this.link?.send({ type: 'exit', process: this.id, exitCode: exitCode & 255, ...signal });
    this.stdin.destroy();
    this.#kill.abort();
    await Promise.all(ends);
    this.onExit();
  }

  get signal(): number | undefined {
    return this.#signal;
  }

  input(chunk: Buffer): void {
    if (this.stdin.destroyed) return;
    const taken = () => this.link?.send({ type: 'room', process: this.id, bytes: chunk.length });
    this.stdin.write(chunk, (error) => {
      if (!error) taken();
    });
  }

  endInput(): void {
    if (!this.stdin.destroyed) this.stdin.end();
  }

  kill(signal: number): void {
    this.#signal ??= signal;
    this.#kill.abort();
  }

  resize(size: TerminalSize): void {
    if (this.#terminal) this.#terminal = size;
  }

  /** The conversation is over: output goes nowhere, input is at its end. */
  hangUp(): void {
    this.link = undefined;
    this.stdout.giveRoom(0);
    this.stderr.giveRoom(0);
    this.endInput();
  }
}
