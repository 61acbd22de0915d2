import { closeSync, openSync } from 'node:fs';
import { abortError, throwIfAborted } from '../core/calls.js';
import { HyperplugError } from '../core/errors.js';

export interface CommandOptions {
  readonly signal: AbortSignal;
  /** The command's own deadline, besides the signal. Default: 30 000. */
  readonly timeoutMs?: number;
  readonly cwd?: string;
  /** Path of the network namespace that it runs in; undefined: this process's. */
  readonly netns?: string | undefined;
  /** Added to this process's environment and to LC_ALL=C.UTF-8; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Standard input; undefined: empty. */
  readonly input?: string | Uint8Array;
  /** More than this on stdout or stderr ends the command and fails. Default: 16 MiB. */
  readonly maxOutputBytes?: number;
  /** Exit codes that are not failures. Default: [0]. */
  readonly exitCodes?: readonly number[];
  /** Each line as it comes, without its end. */
  readonly onStdoutLine?: (line: string) => void;
  readonly onStderrLine?: (line: string) => void;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
  readonly durationMs: number;
}

const STDERR_TAIL_CHARACTERS = 4096;
const KILL_AFTER_MS = 2_000;

/**
 * Runs a short command to its end: argv only, never a shell. An aborted or late one gets SIGTERM, then SIGKILL after
 * 2 s, and the rejection comes when it is gone.
 * @throws HOST_TOOL_MISSING argv[0] does not exist; HOST_COMMAND_FAILED with `argv`, `exitCode`, `signal`, `stderrTail`
 * (other exit codes, killed by a signal, too much output); HOST_PERMISSION `netns` cannot be entered; TIMEOUT, ABORTED.
 */
export async function runCommand(argv: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const [file, ...args] = argv;
  if (file === undefined) throw new TypeError('runCommand: argv is empty');
  throwIfAborted(options.signal, argv.join(' '));
  const timeoutMs = options.timeoutMs ?? 30_000;
  const maxOutputBytes = options.maxOutputBytes ?? 16 * 1024 * 1024;
  // Not before it is needed: many a start of a pod runs no command.
  const { execa } = await import('execa');
  const namespaces = options.netns === undefined ? undefined : await import('./netns.js');
  requireDescriptors(file);
  const start = () =>
    execa(file, args, {
      reject: false,
      cancelSignal: options.signal,
      timeout: timeoutMs,
      forceKillAfterDelay: KILL_AFTER_MS,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { LC_ALL: 'C.UTF-8', ...options.env },
      ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
      stdout: options.onStdoutLine ? (['pipe', lines(options.onStdoutLine)] as const) : 'pipe',
      stderr: options.onStderrLine ? (['pipe', lines(options.onStderrLine)] as const) : 'pipe',
      maxBuffer: maxOutputBytes,
      stripFinalNewline: false,
    });
  // A child is where the thread was that started it; nsenter(1) would be a program more to start.
  const child = namespaces ? namespaces.inNetworkNamespace(options.netns, start) : start();
  const result = await child;
  const { stdout, stderr } = result;
  const exitCode = result.exitCode ?? -1;
  if (result.isCanceled) throw abortError(options.signal, argv.join(' '));
  const details = { argv: [...argv], exitCode: result.exitCode, signal: result.signal, stderrTail: tail(stderr) };
  if (result.timedOut) {
    throw new HyperplugError('TIMEOUT', `${argv.join(' ')}: did not end within ${timeoutMs} ms`, {
      details: { ...details, timeoutMs },
    });
  }
  if (!result.failed || (options.exitCodes?.includes(exitCode) && !result.isMaxBuffer)) {
    return { stdout, stderr, exitCode, durationMs: result.durationMs };
  }
  if (result.code === 'ENOENT' && result.exitCode === undefined) {
    throw new HyperplugError('HOST_TOOL_MISSING', `${file}: no such program`, { cause: result.cause, details });
  }
  throw new HyperplugError('HOST_COMMAND_FAILED', `${argv.join(' ')}: ${reason(result, maxOutputBytes)}`, {
    cause: result.cause,
    details,
  });
}

/** Three pipes, both ends, and what the start itself takes. */
const DESCRIPTORS = 10;

/**
 * Node gives a child that could not be started for lack of descriptors no streams, which execa does not expect: the error
 * would end this process. @throws HOST_IO
 */
function requireDescriptors(file: string): void {
  const spare: number[] = [];
  try {
    for (let count = 0; count < DESCRIPTORS; count++) spare.push(openSync('/dev/null', 'r'));
  } catch (cause) {
    throw new HyperplugError(
      'HOST_IO',
      `${file} cannot be started: too many open files (EMFILE); raise the limit (ulimit -n)`,
      { cause, details: { code: (cause as NodeJS.ErrnoException).code, file } },
    );
  } finally {
    for (const fd of spare) closeSync(fd);
  }
}

/** An execa transform that hands on each line and changes nothing. */
function lines(listener: (line: string) => void): (line: unknown) => Generator<unknown> {
  return function* each(line) {
    listener(String(line));
    yield line;
  };
}

interface Outcome {
  readonly isMaxBuffer: boolean;
  readonly signal?: string;
  readonly exitCode?: number;
  readonly originalMessage?: string;
  readonly stderr: string;
}

function reason(result: Outcome, maxOutputBytes: number): string {
  if (result.isMaxBuffer) return `more than ${maxOutputBytes} bytes of output`;
  if (result.exitCode === undefined && result.signal === undefined) return result.originalMessage ?? 'could not be run';
  const how = result.signal === undefined ? `exit code ${result.exitCode}` : `killed by ${result.signal}`;
  const last = result.stderr.trim().split('\n').slice(-3).join(' / ');
  return last === '' ? how : `${how}: ${last}`;
}

function tail(text: string): string {
  return text.slice(-STDERR_TAIL_CHARACTERS);
}
