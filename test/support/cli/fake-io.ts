import { EventEmitter } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { runCli } from '../../../src/cli/cli.js';
import type { CliDeps, EngineOptions, Io, StdinKind } from '../../../src/cli/deps.js';
import { Output } from '../../../src/cli/output.js';
import type { TerminalSize } from '../../../src/core/agent.js';
import type { FakeHyperplug } from './fake-engine.js';

/** A sink in memory that a test can hold up or break. */
export class FakeSink extends Writable {
  readonly chunks: Buffer[] = [];
  #held: (() => void)[] | undefined;

  hold(): void {
    this.#held ??= [];
  }
  letGo(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const callback of held) callback();
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString('utf8');
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.chunks.push(Buffer.from(chunk));
    if (this.#held) this.#held.push(callback);
    else callback();
  }
}

export class FakeIo implements Io {
  env: Record<string, string | undefined> = {};
  kind: StdinKind = 'terminal';
  size: TerminalSize | undefined;
  readonly input = new PassThrough();
  readonly out = new FakeSink();
  readonly err = new FakeSink();
  readonly stdout: Output;
  readonly stderr: Output;
  readonly signals = new EventEmitter();
  readonly raw: boolean[] = [];
  readonly exits: number[] = [];
  stdinOpened = false;
  suspended = 0;

  constructor(terminal: { stdout?: boolean; stderr?: boolean } = {}) {
    this.stdout = new Output('standard output', this.out, terminal.stdout === true);
    this.stderr = new Output('standard error', this.err, terminal.stderr === true);
  }

  stdinKind(): StdinKind {
    return this.kind;
  }
  stdin(): PassThrough {
    this.stdinOpened = true;
    return this.input;
  }
  setRawMode(on: boolean): void {
    this.raw.push(on);
  }
  terminalSize(): TerminalSize | undefined {
    return this.size;
  }
  onSignal(signal: NodeJS.Signals, listener: () => void): () => void {
    this.signals.on(signal, listener);
    return () => void this.signals.off(signal, listener);
  }
  suspend(): void {
    this.suspended += 1;
  }
  exitNow(code: number): void {
    this.exits.push(code);
  }
}

export interface CliRun {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
  /** What the engine was opened with. */
  readonly engine: readonly EngineOptions[];
}

export function fakeDeps(io: Io, hyperplug: FakeHyperplug | undefined, changes: Partial<CliDeps> = {}) {
  const engine: EngineOptions[] = [];
  const never = async () => {
    throw new Error('this test does not expect this call');
  };
  const deps: CliDeps = {
    io,
    version: '1.2.3',
    async openHyperplug(options) {
      engine.push(options);
      return hyperplug ?? never();
    },
    keepNetworks: async () => {},
    leave: async () => {},
    runDaemon: never,
    listPlugins: never,
    describeConfig: never,
    configSchema: never,
    buildImage: never,
    ...changes,
  };
  return { deps, engine };
}

/** Runs a command line to its end, in memory. */
export async function cli(
  argv: readonly string[],
  options: { io?: FakeIo; hyperplug?: FakeHyperplug; deps?: Partial<CliDeps> } = {},
): Promise<CliRun> {
  const io = options.io ?? new FakeIo();
  const { deps, engine } = fakeDeps(io, options.hyperplug, options.deps);
  const exitCode = await runCli(argv, deps);
  return { exitCode, out: io.out.text, err: io.err.text, engine };
}

/** Resolves when `condition` holds; looks again after each turn of the loop. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`did not come within 10 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
