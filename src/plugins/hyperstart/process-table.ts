import type { ExecExit } from '../../core/agent.js';
import type { HyperplugError } from '../../core/errors.js';
import type { InputStream } from './input-stream.js';
import { OutputStream } from './output-stream.js';
import { parseProcessEvent } from './schemas.js';
import type { Streams } from './streams.js';

/** A process of this session: its streams, and its end. */
export interface ProcessEntry {
  readonly id: string;
  readonly stdioSequence: number;
  /** 0: none (a terminal). */
  readonly stderrSequence: number;
  readonly stdin: InputStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly exited: Promise<ExecExit>;
  exit: ExecExit | undefined;
}

interface Slot {
  readonly entry: ProcessEntry;
  readonly resolve: (exit: ExecExit) => void;
  readonly reject: (error: Error) => void;
  outputsOpen: number;
}

export interface ProcessTableOptions {
  /** The original sends no end of stderr: it ends with stdout's end and the exit event. */
  readonly stderrEnds: boolean;
  /** In every id, so that those of an earlier session are told apart. */
  readonly idPrefix: string;
  /** First stream sequence to use. */
  readonly firstSequence: number;
}

function emptyOutput(): OutputStream {
  const stream = new OutputStream(() => {});
  stream.end();
  return stream;
}

export class ProcessTable {
  readonly #slots = new Map<string, Slot>();
  #lastId = 0;
  #nextSequence: number;

  constructor(
    readonly streams: Streams,
    readonly options: ProcessTableOptions,
  ) {
    this.#nextSequence = options.firstSequence;
  }

  /** Processes that run, or whose output has not ended. */
  get size(): number {
    return this.#slots.size;
  }

  /** Before the command is sent: output may come before its answer. */
  open(terminal: boolean): ProcessEntry {
    const { streams } = this;
    this.#lastId += 1;
    const id = `${this.options.idPrefix}-${this.#lastId}`;
    const stdioSequence = this.#nextSequence++;
    const stderrSequence = terminal ? 0 : this.#nextSequence++;
    let resolve!: (exit: ExecExit) => void;
    let reject!: (error: Error) => void;
    const exited = new Promise<ExecExit>((yes, no) => {
      resolve = yes;
      reject = no;
    });
    exited.catch(() => {});
    const ended = () => {
      slot.outputsOpen -= 1;
      this.#settle(slot);
    };
    const entry: ProcessEntry = {
      id,
      stdioSequence,
      stderrSequence,
      stdin: streams.openInput(stdioSequence, { terminal }),
      stdout: streams.openOutput(stdioSequence, ended),
      stderr: terminal ? emptyOutput() : streams.openOutput(stderrSequence, this.options.stderrEnds ? ended : () => {}),
      exited,
      exit: undefined,
    };
    const slot: Slot = { entry, resolve, reject, outputsOpen: !terminal && this.options.stderrEnds ? 2 : 1 };
    this.#slots.set(id, slot);
    return entry;
  }

  /** It never ran. */
  discard(entry: ProcessEntry): void {
    this.#slots.delete(entry.id);
    this.streams.close(entry.stdioSequence);
    if (entry.stderrSequence > 0) this.streams.close(entry.stderrSequence);
    for (const stream of [entry.stdin, entry.stdout, entry.stderr]) stream.destroy();
  }

  /** Nobody reads it; it stays known until it has ended or is discarded. */
  mute(entry: ProcessEntry): void {
    for (const stream of [entry.stdout, entry.stderr]) stream.destroy();
  }

  /** @throws AGENT_PROTOCOL. Events of processes that are not ours are overlooked. */
  event(payload: Buffer): void {
    const { process, event, status, signal } = parseProcessEvent(payload, 'PROCESSASYNCEVENT');
    const slot = event === 'finished' ? this.#slots.get(process) : undefined;
    if (slot === undefined || slot.entry.exit) return;
    const exit = signal === undefined ? { exitCode: status } : { exitCode: 128 + signal, signal };
    slot.entry.exit = exit;
    slot.resolve(exit);
    this.streams.closeInput(slot.entry.stdioSequence);
    slot.entry.stdin.destroy();
    this.#settle(slot);
  }

  fail(error: HyperplugError): void {
    const slots = [...this.#slots.values()];
    this.#slots.clear();
    for (const slot of slots) slot.reject(error);
  }

  /** Forgets what has exited and sent all. */
  #settle(slot: Slot): void {
    const { entry } = slot;
    if (!entry.exit || slot.outputsOpen > 0) return;
    this.#slots.delete(entry.id);
    this.streams.close(entry.stdioSequence);
    if (entry.stderrSequence > 0) this.streams.close(entry.stderrSequence);
  }
}
