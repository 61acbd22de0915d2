import type { ExecRequest } from '../../core/pod/types.js';
import type { Io } from '../deps.js';
import { usageError } from '../errors.js';
import { parseEnv } from '../parse/env.js';

export interface StreamOptions {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  /** False with `-n`. */
  readonly stdin?: boolean;
}

export interface StreamPlan {
  readonly forwardStdin: boolean;
  readonly terminal: boolean;
}

/**
 * Which of our streams the command gets. Without `-i` and `-n`: a pipe, and a file from its beginning, are forwarded; a
 * terminal is not, nor a file that somebody has begun to read, as a shell's `while read` loop has.
 * @throws CLI_USAGE
 */
export function planStreams(io: Io, options: StreamOptions): StreamPlan {
  const interactive = options.interactive === true;
  const terminal = options.tty === true;
  if (interactive && options.stdin === false) throw usageError('--interactive and --no-stdin exclude each other');
  if (interactive && terminal && io.stdinKind() !== 'terminal') {
    throw usageError('--tty with --interactive needs a terminal on standard input', 'leave out --tty');
  }
  if (interactive) return { forwardStdin: true, terminal };
  if (terminal || options.stdin === false) return { forwardStdin: false, terminal };
  const kind = io.stdinKind();
  return { forwardStdin: kind === 'stream' || kind === 'file', terminal };
}

/** @throws CLI_USAGE */
export function execRequest(
  io: Io,
  argv: readonly string[],
  streams: StreamPlan,
  options: {
    readonly env: readonly string[];
    readonly workdir?: string;
    readonly user?: string;
    readonly container?: string;
  },
): ExecRequest {
  const size = streams.terminal ? io.terminalSize() : undefined;
  const env = parseEnv(options.env, io.env);
  return {
    argv,
    env: streams.terminal ? { TERM: io.env.TERM || 'xterm', ...env } : env,
    terminal: streams.terminal,
    ...(size === undefined ? {} : { size }),
    ...(options.workdir === undefined ? {} : { workingDirectory: options.workdir }),
    ...(options.user === undefined ? {} : { user: options.user }),
    ...(options.container === undefined ? {} : { container: options.container }),
  };
}
