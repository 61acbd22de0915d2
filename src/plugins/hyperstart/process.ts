import type { Readable, Writable } from 'node:stream';
import type { ExecExit, GuestProcess, TerminalSize } from '../../core/agent.js';
import type { CallOptions } from '../../core/calls.js';
import { refused } from './dialect.js';
import type { SendJson } from './network-commands.js';
import type { ProcessEntry } from './process-table.js';
import { COMMAND } from './protocol.gen.js';

/** The container of the init's own namespaces. */
export const CONTAINER = 'hyperstart';

export class HyperstartProcess implements GuestProcess {
  readonly id: string;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exited: Promise<ExecExit>;

  constructor(
    readonly entry: ProcessEntry,
    readonly container: string,
    readonly send: SendJson,
  ) {
    this.id = entry.id;
    this.stdin = entry.stdin;
    this.stdout = entry.stdout;
    this.stderr = entry.stderr;
    this.exited = entry.exited;
  }

  async kill(signal: number, options: CallOptions): Promise<void> {
    if (!Number.isInteger(signal) || signal < 1 || signal > 64) {
      throw new TypeError(`signal: expected a signal's number, 1 to 64, got ${signal}`);
    }
    await this.#send(COMMAND.SIGNALPROCESS, `kill ${this.id}`, { signal }, options);
  }

  async resize(size: TerminalSize, options: CallOptions): Promise<void> {
    await this.#send(COMMAND.WINSIZE, `resize ${this.id}`, { row: size.rows, column: size.columns }, options);
  }

  async #send(code: number, what: string, body: object, options: CallOptions): Promise<void> {
    if (this.entry.exit) throw refused(what, 'the process has ended already');
    await this.send(code, what, { container: this.container, process: this.id, ...body }, options);
  }
}
