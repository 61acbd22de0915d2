import type { Readable } from 'node:stream';
import type { TerminalSize } from '../core/agent.js';
import type { GuestImage } from '../core/guest-image.js';
import type { JsonValue } from '../core/json.js';
import type { PluginKind } from '../core/plugin.js';
import type { Hyperplug } from '../core/pod/types.js';
import type { ProgressSink } from '../core/progress.js';
import type { Output } from './output.js';

/** What standard input is: it decides whether a command that was given neither `-i` nor `-n` gets it. */
export type StdinKind =
  | 'terminal'
  /** A pipe, a socket, /dev/null and the like. */
  | 'stream'
  /** A file that nobody has read from. */
  | 'file'
  /** A file that somebody has begun to read (a shell's `while read` loop): it is theirs. */
  | 'file-begun';

/** The process's edge, so that commands can be run in memory. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Output;
  readonly stderr: Output;
  stdinKind(): StdinKind;
  /** Opens standard input: only who reads it may call this. */
  stdin(): Readable;
  /** Only with a terminal on standard input. */
  setRawMode(on: boolean): void;
  /** Of the terminal that the output goes to; undefined: there is none. */
  terminalSize(): TerminalSize | undefined;
  /** Calls `listener` for each such signal instead of the default action; the returned function ends that. */
  onSignal(signal: NodeJS.Signals, listener: () => void): () => void;
  /** Stops this process as the shell's job control does (SIGSTOP). */
  suspend(): void;
  /** Ends the process at once: the last resort of a user who will not wait for cleaning up. */
  exitNow(code: number): void;
}

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
export const LOG_LEVELS: readonly LogLevel[] = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'];
export type LogFormat = 'auto' | 'pretty' | 'json';
export const LOG_FORMATS: readonly LogFormat[] = ['auto', 'pretty', 'json'];

/** What every command may be told and hands on. Undefined: as configured. */
export interface EngineOptions {
  readonly configPath: string | undefined;
  /** Where the daemon is looked for; undefined: HYPERPLUG_SOCKET, else as configured. */
  readonly socket: string | undefined;
  /** False: what is to be done is done in this process, daemon or not. */
  readonly daemon: boolean;
  readonly driver: string | undefined;
  /** Undefined: as configured. */
  readonly rootless: boolean | undefined;
  /** What is done about the namespaces of rootless networks; look: nothing in them is mended; try: nor have they to be there. */
  readonly namespaces: 'use' | 'look' | 'try';
  readonly logLevel: LogLevel | undefined;
  readonly logFormat: LogFormat | undefined;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
  /** Takes the log's lines, each with its end. */
  readonly logTo: (text: string) => void;
}

export interface PluginListing {
  readonly kind: PluginKind;
  readonly name: string;
  readonly description: string;
  readonly apiVersion: number;
  /** `built-in`, or the package or file it was loaded from. */
  readonly source: string;
  /** The configuration chooses it for its kind. */
  readonly selected: boolean;
  readonly capabilities: JsonValue;
}

export interface ConfigDescription {
  /** YAML; with a comment on each value's origin where that was asked for. */
  readonly text: string;
  readonly value: JsonValue;
  /** Dotted path → where the value comes from. */
  readonly origins: Readonly<Record<string, string>>;
}

/** What the commands use of the program beneath them. Everything heavy is imported when it is called. */
export interface CliDeps {
  readonly io: Io;
  readonly version: string;
  /** The daemon's, where one answers, else one of this process. */
  openHyperplug(options: EngineOptions): Promise<Hyperplug>;
  /** Rootless networks stay when nothing runs in them, or do so no more; nothing where networks are not rootless. */
  keepNetworks(keep: boolean, signal: AbortSignal): Promise<void>;
  /** At the very end: what no command after this one needs goes. */
  leave(): Promise<void>;
  /** Resolves when the daemon has ended, because `signal` fired. */
  runDaemon(
    options: EngineOptions & { readonly stopPods: boolean; readonly onReady: (address: string) => void },
  ): Promise<void>;
  listPlugins(options: EngineOptions): Promise<readonly PluginListing[]>;
  describeConfig(options: EngineOptions & { readonly origins: boolean }): Promise<ConfigDescription>;
  configSchema(options: EngineOptions): Promise<JsonValue>;
  buildImage(options: EngineOptions & { readonly refresh: boolean; readonly kernel: boolean }): Promise<GuestImage>;
}
