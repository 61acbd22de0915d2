import { randomBytes } from 'node:crypto';
import { unlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { abortError, type CallOptions, raceSignal, throwIfAborted, withDeadline } from '../../core/calls.js';
import { HyperplugError, hasCode } from '../../core/errors.js';
import { type DatagramOwner, UnixDatagramSocket } from '../../host/unix-datagram.js';
import { decodeReply, encodeRequest, MAX_DATAGRAM_BYTES } from './mconsole-codec.js';

export interface MconsoleOptions {
  /** UML's socket. */
  readonly target: string;
  /** A directory for ours, by a path that means the same to UML, which answers to it. */
  readonly directory: string;
  /** The user UML runs as, where that is not ours. */
  readonly owner: DatagramOwner | undefined;
  /** When UML listens there; undefined: it does. */
  readonly up: Promise<void> | undefined;
  readonly commandTimeoutMs: number;
}

interface Waiting {
  parts: string;
  resolve(text: string): void;
  reject(error: unknown): void;
}

const FULL_QUEUE_PAUSE_MS = 5;

/** The management console of one UML: a command at a time, each answered (Documentation/virt/uml/user_mode_linux_howto_v2.rst). */
export class Mconsole {
  #socket: UnixDatagramSocket | undefined;
  #waiting: Waiting | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(private readonly options: MconsoleOptions) {}

  /** @throws MCONSOLE_ERROR with UML's words and `details.errno`; MCONSOLE_PROTOCOL, VM_EXITED, TIMEOUT, ABORTED. */
  command(command: string, { signal }: CallOptions): Promise<string> {
    const what = `mconsole ${command.split(/[ :]/)[0]}`;
    const turn = this.#last.then(async () => {
      await this.options.up;
      throwIfAborted(signal, what);
      // To its answer, whoever still waits: of two requests that are there at once UML takes the later one first
      // (arch/um/drivers/mconsole_kern.c: list_add to mc_requests), so an undo would come before what it undoes.
      return withDeadline(what, this.options.commandTimeoutMs, undefined, (call) =>
        this.#exchange(command, what, call),
      );
    });
    this.#last = turn.catch(() => {});
    return raceSignal(turn, signal, what);
  }

  close(): void {
    this.#closed = true;
    this.#waiting?.reject(new HyperplugError('VM_EXITED', 'mconsole: closed'));
    this.#drop();
  }

  async #exchange(command: string, what: string, { signal }: CallOptions): Promise<string> {
    throwIfAborted(signal, what);
    if (this.#closed) throw new HyperplugError('VM_EXITED', `${what}: the console is closed`);
    this.#socket ??= await this.#bind();
    const answer = new Promise<string>((resolve, reject) => {
      this.#waiting = { parts: '', resolve, reject };
    });
    answer.catch(() => {});
    try {
      await this.#send(this.#socket, encodeRequest(command), what, signal);
      return await raceSignal(answer, signal, what);
    } catch (error) {
      // Its answer may still come, and must not be taken for the next one's.
      if (!hasCode(error, 'MCONSOLE_ERROR')) this.#drop();
      throw error;
    } finally {
      this.#waiting = undefined;
    }
  }

  async #send(socket: UnixDatagramSocket, bytes: Buffer, what: string, signal: AbortSignal): Promise<void> {
    try {
      while (!socket.send(this.options.target, bytes)) {
        await delay(FULL_QUEUE_PAUSE_MS);
        if (signal.aborted) throw abortError(signal, what);
      }
    } catch (error) {
      if (!hasCode(error, 'HOST_COMMAND_FAILED')) throw error;
      throw new HyperplugError('VM_EXITED', `${what}: ${error.message}`, { cause: error });
    }
  }

  async #bind(): Promise<UnixDatagramSocket> {
    const { directory, owner } = this.options;
    const path = `${directory}/m${randomBytes(4).toString('hex')}`;
    return UnixDatagramSocket.bind(path, { maxBytes: MAX_DATAGRAM_BYTES, owner }, (bytes) => this.#receive(bytes));
  }

  #receive(bytes: Buffer): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    try {
      const { error, more, text } = decodeReply(bytes);
      waiting.parts += text;
      if (more) return;
      if (error === 0) waiting.resolve(waiting.parts);
      else
        waiting.reject(
          new HyperplugError('MCONSOLE_ERROR', `mconsole: ${waiting.parts.trim()} (${error})`, {
            details: { errno: error, words: waiting.parts.trim() },
          }),
        );
    } catch (error) {
      waiting.reject(error);
    }
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.close();
    // Gone with its directory otherwise.
    void unlink(socket.path).catch(() => {});
  }
}
