import type { Readable, Writable } from 'node:stream';
import type { TerminalSize } from '../../agent.js';

/** A command as the guest is asked to start it: the low level, see Pod.spawn(). */
export interface ExecRequest {
  readonly argv: readonly string[];
  /** Over PATH and HOME, which are there; nothing of ours is passed on. */
  readonly env?: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
  /** Name or number; default root. */
  readonly user?: string;
  readonly terminal?: boolean;
  /** Of the terminal, at first. */
  readonly size?: TerminalSize;
  /** Id of the container it runs in; default: the guest itself. */
  readonly container?: string;
}

/** What a command reads: all of it, then end of file. */
export type ExecInput = string | Uint8Array | Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>;

/** The words are execa's, with units; what is said of a default holds without the option. */
export interface ExecOptions {
  readonly input?: ExecInput;
  /**
   * `pipe`: `process.stdin` stays open until it is ended; `ignore`: at end of file from the start. Default: `ignore`, but
   * `pipe` where `process.stdin` is taken before exec() has come back to its caller's next turn, or with `terminal`.
   */
  readonly stdin?: 'pipe' | 'ignore';
  readonly env?: Readonly<Record<string, string>>;
  /** Default `/`. */
  readonly cwd?: string;
  /** Name or number; default root. */
  readonly user?: string;
  /** A terminal in the guest: its output, standard error too, comes as `stdout`. */
  readonly terminal?: boolean;
  readonly size?: TerminalSize;
  /** Id of the container it runs in; default: the guest itself. */
  readonly container?: string;
  /** When it fires the command is killed, and the promise rejects with ABORTED (`isCanceled`); the pod runs on. */
  readonly signal?: AbortSignal;
  /** From the call to the command's end; then it is killed, and the promise rejects with TIMEOUT (`timedOut`). Default: none. */
  readonly timeoutMs?: number;
  /** Sent first when it is to be killed. Default SIGTERM. */
  readonly killSignal?: NodeJS.Signals;
  /** How long that may take to have effect before SIGKILL. Default 5000. */
  readonly forceKillAfterMs?: number;
  /** False: a command that fails resolves too, with `failed`. Default true. */
  readonly reject?: boolean;
  /** `buffer`: output is a Buffer, as it came. Default `utf8`. */
  readonly encoding?: BufferEncoding | 'buffer';
  /** Output is an array of its lines. Default false. */
  readonly lines?: boolean;
  /** The last newline of text is left out. Default true. */
  readonly stripFinalNewline?: boolean;
  /**
   * False: output is not collected (`stdout` and `stderr` of the result are empty): it is for who takes the streams in the
   * turn of the call, and else dropped. Default true.
   */
  readonly buffer?: boolean;
  /** Of each stream; a command that writes more is killed (`isMaxBuffer`). Default 64 MiB. */
  readonly maxBufferBytes?: number;
}

/** `string`, `Buffer` or lines, by the options. */
export type ExecOutput<O extends ExecOptions> = O extends { readonly encoding: 'buffer' }
  ? Buffer
  : O extends { readonly lines: true }
    ? readonly string[]
    : string;

export interface ExecResult<O extends ExecOptions = ExecOptions> {
  readonly argv: readonly string[];
  /** For people: the words, quoted where need be. */
  readonly command: string;
  /** 0 to 255; 128 + n when signal n ended it; undefined: it was given up on before its end was known. */
  readonly exitCode: number | undefined;
  /** That ended it, where the agent tells. */
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: ExecOutput<O>;
  readonly stderr: ExecOutput<O>;
  /** From the call on. */
  readonly durationMs: number;
  /** The exit code is not 0, or one of the following holds. */
  readonly failed: boolean;
  readonly timedOut: boolean;
  readonly isCanceled: boolean;
  readonly isMaxBuffer: boolean;
}

export interface IterableOptions {
  /** Default `stdout`. */
  readonly from?: 'stdout' | 'stderr';
  /** Pieces as they come, instead of lines. Default false. */
  readonly binary?: boolean;
}

/** A command that runs in a pod, and the promise of its result, at once. */
export interface PodProcess<O extends ExecOptions = ExecOptions> extends Promise<ExecResult<O>>, AsyncIterable<string> {
  /** Resolves when the program runs. @throws as the promise, where it could not be started. */
  readonly started: Promise<void>;
  /** Its write callback comes when the guest has room. Closed without an error when the command reads no more. */
  readonly stdin: Writable;
  /** With all that has been collected so far. Who takes it must read it: the command runs at its reader's pace. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Default SIGTERM. One that has ended is no error. */
  kill(signal?: NodeJS.Signals | number): Promise<void>;
  /** Of its terminal. */
  resize(size: TerminalSize): Promise<void>;
  /**
   * Lines as they come, without their ends; then throws what the promise rejects with. They are not collected: any number may
   * come, each of at most `maxBufferBytes`. Who leaves the loop early has the command killed.
   */
  iterable(options: IterableOptions & { readonly binary: true }): AsyncGenerator<Buffer, void, undefined>;
  iterable(options?: IterableOptions & { readonly binary?: false }): AsyncGenerator<string, void, undefined>;
  /**
   * Its standard output into another command's standard input: of this pod, of another, or a program of the host (what
   * execa returns). Settles as the destination; rejects with our error first, if we fail. It is not collected. When the
   * destination reads no more we are ended by SIGPIPE, which is no failure.
   */
  pipe<D extends PipeDestination>(destination: D): Promise<Awaited<D>>;
  /** Kills it if it still runs, and waits for its end. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface PipeDestination extends PromiseLike<unknown> {
  readonly stdin: Writable | null | undefined;
}
