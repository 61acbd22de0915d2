import { constants } from 'node:os';
import { shown } from '../../errors.js';
import type { ExecOptions, ExecRequest } from './types.js';

export const DEFAULT_MAX_BUFFER_BYTES = 64 * 1024 * 1024;
export const DEFAULT_FORCE_KILL_AFTER_MS = 5_000;

const KEYS = {
  input: true,
  stdin: true,
  env: true,
  cwd: true,
  user: true,
  terminal: true,
  size: true,
  container: true,
  signal: true,
  timeoutMs: true,
  killSignal: true,
  forceKillAfterMs: true,
  reject: true,
  encoding: true,
  lines: true,
  stripFinalNewline: true,
  buffer: true,
  maxBufferBytes: true,
} as const satisfies Record<keyof ExecOptions, true>;

/** Names of others' habits → ours. */
const RENAMED: Readonly<Record<string, string>> = {
  timeout: 'timeoutMs',
  maxBuffer: 'maxBufferBytes',
  cancelSignal: 'signal',
  forceKillAfterDelay: 'forceKillAfterMs',
  workingDirectory: 'cwd',
  workdir: 'cwd',
  tty: 'terminal',
};

/** @throws TypeError: a programmer's mistake. */
export function checkExec(argv: readonly string[], options: ExecOptions): void {
  if (!Array.isArray(argv)) {
    throw new TypeError(`argv: expected an array, the program and its arguments, got ${shown(argv)}`);
  }
  if (argv.length === 0) throw new TypeError('argv: expected at least the program, got an empty array');
  argv.forEach((word: unknown, index) => {
    if (typeof word !== 'string') throw new TypeError(`argv[${index}]: expected text, got ${shown(word)}`);
    if (word.includes('\0')) throw new TypeError(`argv[${index}]: expected text without NUL, got ${shown(word)}`);
  });
  for (const key of Object.keys(options)) {
    if (key in KEYS) continue;
    const now = RENAMED[key];
    throw new TypeError(`options.${key}: no such option${now === undefined ? '' : `, use ${now}`}`);
  }
  if (options.input !== undefined && options.stdin !== undefined) {
    throw new TypeError('options.stdin: expected nothing beside input, which is all that the command reads');
  }
  for (const key of ['timeoutMs', 'forceKillAfterMs', 'maxBufferBytes'] as const) {
    const value = options[key];
    if (value !== undefined && !(Number.isFinite(value) && value >= 0)) {
      throw new TypeError(`options.${key}: expected a number, 0 or more, got ${shown(value)}`);
    }
  }
  if (options.killSignal !== undefined) signalNumber(options.killSignal);
}

/** @throws TypeError */
export function signalNumber(signal: NodeJS.Signals | number): number {
  const number = typeof signal === 'number' ? signal : constants.signals[signal];
  if (Number.isInteger(number) && number >= 1 && number <= 64) return number;
  throw new TypeError(`signal: expected a name like SIGTERM, or a number, got ${shown(signal)}`);
}

export function signalName(number: number | undefined): NodeJS.Signals | undefined {
  return (Object.keys(constants.signals) as NodeJS.Signals[]).find((name) => constants.signals[name] === number);
}

export function requestOf(argv: readonly string[], options: ExecOptions): ExecRequest {
  const { env, cwd, user, terminal, size, container } = options;
  return {
    argv,
    ...(env && { env }),
    ...(cwd !== undefined && { workingDirectory: cwd }),
    ...(user !== undefined && { user }),
    ...(terminal !== undefined && { terminal }),
    ...(size && { size }),
    ...(container !== undefined && { container }),
  };
}

/** As a shell would take it; never given to one. */
export function commandText(argv: readonly string[]): string {
  return argv.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}
