import type { FakeAgent } from './peer.js';
import type { Program, ProgramContext } from './programs.js';

const CREDIT_BYTES = 256 * 1024;
/** The original's stdin buffer, emptied once a turn of its loop. */
const ORIGINAL_STDIN_BYTES = 512;

/** A process of the fake guest: its streams with their credit, and a program that uses them. */
export class FakeProcess {
  readonly id: string;
  readonly stdio: number;
  readonly stderr: number;
  size: { rows: number; columns: number } | undefined;
  readonly #credit = new Map<number, number>();
  readonly #waiting = new Set<() => void>();
  readonly #stdin: Buffer[] = [];
  #stdinEnded = false;
  #heldBytes = 0;
  #reader: (() => void) | undefined;
  #kill!: (signal: number) => void;
  readonly killed: Promise<number>;
  #signal: number | undefined;

  constructor(
    readonly agent: FakeAgent,
    // biome-ignore lint/suspicious/noExplicitAny: JSON
    readonly spec: any,
    readonly original: boolean,
  ) {
    this.id = spec.id;
    this.stdio = spec.stdio;
    this.stderr = spec.stderr;
    if (spec.row) this.size = { rows: spec.row, columns: spec.column };
    for (const sequence of [this.stdio, this.stderr]) this.#credit.set(sequence, CREDIT_BYTES);
    this.killed = new Promise((resolve) => {
      this.#kill = resolve;
    });
  }

  async run(program: Program | undefined): Promise<void> {
    const context: ProgramContext = {
      argv: this.spec.args,
      workingDirectory: this.spec.workdir,
      env: Object.fromEntries(
        (this.spec.envs ?? []).map(({ env, value }: { env: string; value: string }) => [env, value]),
      ),
      stdout: (bytes) => this.#write(this.stdio, bytes),
      stderr: (bytes) => this.#write(this.spec.terminal ? this.stdio : this.stderr, bytes),
      read: () => this.#read(),
      killed: this.killed,
      size: () => this.size,
    };
    const missing: Program = async ({ stderr }) => {
      await stderr(Buffer.from('exec failed: No such file or directory\n'));
      return 127;
    };
    const status = await Promise.race([(program ?? missing)(context), this.killed.then((signal) => 128 + signal)]);
    const signal = this.#signal;
    const finish = () =>
      this.agent.event(this.id, signal === undefined ? { status } : { status: 128 + signal, signal });
    if (!this.original) finish();
    this.agent.outputEnd(this.stdio);
    if (!this.original && this.stderr > 0) this.agent.outputEnd(this.stderr);
    if (this.original) finish();
  }

  granted(sequence: number, bytes: number): void {
    const credit = (this.#credit.get(sequence) ?? 0) + bytes;
    if (credit > CREDIT_BYTES) throw new Error(`the client gave more credit than there is: ${credit}`);
    this.#credit.set(sequence, credit);
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  input(bytes: Buffer): void {
    if (this.#stdinEnded) throw new Error('stdin after its end');
    this.#heldBytes += bytes.length;
    if (this.original && this.#heldBytes > ORIGINAL_STDIN_BYTES) return;
    if (!this.original && this.#heldBytes > CREDIT_BYTES) throw new Error('the client overran its credit');
    this.#stdin.push(bytes);
    // The original's loop writes its buffer to the process one turn later.
    if (this.original) setImmediate(() => this.#emptied(bytes.length));
    this.#reader?.();
  }

  inputEnd(): void {
    this.#stdinEnded = true;
    this.#reader?.();
  }

  signal(signal: number): void {
    this.#signal = signal;
    this.#kill(signal);
  }

  async #read(): Promise<Buffer | undefined> {
    while (this.#stdin.length === 0) {
      if (this.#stdinEnded) return undefined;
      await new Promise<void>((resolve) => {
        this.#reader = resolve;
      });
    }
    const bytes = this.#stdin.shift()!;
    if (!this.original) this.consume(bytes.length);
    if (this.spec.terminal && bytes.includes(4)) this.#stdinEnded = true;
    return bytes;
  }

  /** As if the program had read so much of its stdin. */
  consume(bytes: number): void {
    this.#emptied(bytes);
    this.agent.credit(this.stdio, bytes);
  }

  #emptied(bytes: number): void {
    this.#heldBytes -= bytes;
  }

  async #write(sequence: number, bytes: Buffer): Promise<void> {
    for (let offset = 0; offset < bytes.length; ) {
      let credit = this.original ? Number.POSITIVE_INFINITY : this.#credit.get(sequence)!;
      while (credit === 0) {
        await new Promise<void>((resolve) => this.#waiting.add(resolve));
        credit = this.#credit.get(sequence)!;
      }
      const piece = bytes.subarray(offset, offset + credit);
      if (!this.original) this.#credit.set(sequence, credit - piece.length);
      offset += piece.length;
      await this.agent.output(sequence, piece);
    }
  }
}
