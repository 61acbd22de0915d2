import type { UserCallOptions } from '../core/calls.js';
import type { Hyperplug } from '../core/pod/types.js';
import type { CliDeps, EngineOptions, Io, LogFormat, LogLevel } from './deps.js';
import { EXIT, presentError } from './errors.js';
import { Interrupts } from './interrupts.js';
import { CliProgress } from './progress.js';
import { json, type Paint, painter } from './text.js';

/** Options that every command takes. */
export interface CommonOptions {
  readonly config?: string;
  readonly driver?: string;
  readonly logLevel?: LogLevel;
  readonly logFormat?: LogFormat;
  readonly json?: boolean;
  readonly socket?: string;
  readonly daemon?: boolean;
  readonly rootless?: boolean;
}

/** What one run of a command has at hand. */
export class CommandContext {
  readonly io: Io;
  readonly interrupts: Interrupts;
  readonly progress: CliProgress;
  /** For standard output. */
  readonly paint: Paint;

  constructor(
    readonly deps: CliDeps,
    readonly common: CommonOptions,
  ) {
    this.io = deps.io;
    this.progress = new CliProgress(this.io);
    this.interrupts = new Interrupts(this.io, (text) => this.say(text.trimEnd()));
    this.paint = painter(this.io.stdout.isTerminal, this.io.env);
  }

  /** A line for the user, beside the output. */
  say(text: string): void {
    this.progress.clear();
    this.io.stderr.print(`hyperplug: ${text}\n`);
  }

  /** The output: as JSON with --json, else as text. Resolves when it may go on. */
  async print(value: unknown, text: () => string): Promise<void> {
    this.progress.stop();
    await this.io.stdout.write(this.common.json ? json(value) : text());
  }

  get call(): UserCallOptions {
    return { signal: this.interrupts.signal };
  }

  engineOptions(namespaces: EngineOptions['namespaces'] = 'use'): EngineOptions {
    return {
      configPath: this.common.config,
      socket: this.common.socket,
      daemon: this.common.daemon !== false,
      driver: this.common.driver,
      rootless: this.common.rootless,
      namespaces,
      logLevel: this.common.logLevel,
      logFormat: this.common.logFormat,
      progress: this.progress,
      signal: this.interrupts.signal,
      logTo: (text) => {
        this.progress.clear();
        this.io.stderr.print(text);
      },
    };
  }

  /** Tells an error on standard error, as text or as JSON. */
  report(error: unknown): void {
    this.progress.clear();
    this.io.stderr.print(
      presentError(error, {
        json: this.common.json === true,
        debug: this.common.logLevel === 'debug' || this.common.logLevel === 'trace',
        paint: painter(this.io.stderr.isTerminal, this.io.env),
      }),
    );
  }

  /**
   * Opens the engine for `body` and closes it on every way out. When closing fails that is told as well, and the exit
   * code is the body's unless that was 0.
   */
  async withHyperplug(
    body: (hyperplug: Hyperplug) => Promise<number>,
    namespaces?: EngineOptions['namespaces'],
  ): Promise<number> {
    const hyperplug = await this.deps.openHyperplug(this.engineOptions(namespaces));
    let exitCode: number = EXIT.failed;
    try {
      exitCode = await body(hyperplug);
    } finally {
      this.interrupts.teardown();
      try {
        await hyperplug.close();
      } catch (error) {
        this.report(error);
        if (exitCode === EXIT.ok) exitCode = EXIT.failed;
      }
    }
    return exitCode;
  }
}
