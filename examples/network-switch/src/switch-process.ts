import { spawn } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  type CallOptions,
  HyperplugError,
  identifyProcess,
  type JsonValue,
  raceSignal,
  throwIfAborted,
  waitGone,
} from 'hyperplug';

const PROGRAM = fileURLToPath(new URL('./switch/main.js', import.meta.url));
const POLL_MS = 10;
const MAX_ANSWER_CHARACTERS = 1 << 20;

export type SwitchRequest =
  | { readonly do: 'status' | 'stop' }
  | { readonly do: 'add' | 'remove'; readonly port: string };

export interface SwitchStatus {
  readonly pid: number;
  readonly gateway: string;
  readonly isolated: boolean;
  readonly ports: readonly string[];
}

export interface SwitchSettings {
  readonly gateway: string;
  readonly isolated: boolean;
}

export const controlPath = (directory: string) => join(directory, 'control.sock');
export const portPath = (directory: string, port: string) => join(directory, `${port}.sock`);

/** One request to the switch of this directory. undefined: none runs there. @throws NET_INIT_FAILED it refused. */
export async function callSwitch(
  directory: string,
  request: SwitchRequest,
  { signal }: CallOptions,
): Promise<JsonValue | undefined> {
  throwIfAborted(signal, `switch: ${request.do}`);
  const socket = connect(controlPath(directory));
  socket.setEncoding('utf8');
  const answered = new Promise<string | undefined>((resolve, reject) => {
    let text = '';
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.endsWith('\n') || text.length > MAX_ANSWER_CHARACTERS) resolve(text);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const absent = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOTDIR'].includes(error.code ?? '');
      if (absent) resolve(undefined);
      else reject(error);
    });
    socket.once('close', () => resolve(undefined));
  });
  try {
    socket.write(`${JSON.stringify(request)}\n`);
    const line = await raceSignal(answered, signal, `switch: ${request.do}`);
    if (line === undefined) return undefined;
    const answer = JSON.parse(line) as { readonly ok?: JsonValue; readonly error?: string };
    if (answer.error === undefined) return answer.ok ?? null;
    throw new HyperplugError('NET_INIT_FAILED', `switch in ${directory}: ${request.do}: ${answer.error}`);
  } finally {
    socket.destroy();
  }
}

export const readStatus = async (directory: string, options: CallOptions, call = callSwitch) =>
  (await call(directory, { do: 'status' }, options)) as unknown as SwitchStatus | undefined;

/**
 * Starts the switch of this directory unless it runs. A lock of the kernel's, which ends with the process that holds it,
 * keeps it at one, whoever starts it at once. False: it ran already.
 */
export async function startSwitch(directory: string, settings: SwitchSettings, options: CallOptions): Promise<boolean> {
  if (await readStatus(directory, options)) return false;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const argv = ['--nonblock', '--no-fork', join(directory, 'lock'), process.execPath, PROGRAM, directory];
  const child = spawn('flock', [...argv, JSON.stringify(settings)], { cwd: '/', detached: true, stdio: 'ignore' });
  let failure: Error | undefined;
  child.once('error', (error) => {
    failure = error;
  });
  child.unref();
  for (;;) {
    const status = await readStatus(directory, options);
    if (status) return status.pid === child.pid;
    // Exit code 1: somebody else holds the lock, and will be listening in a moment.
    if (failure || (child.exitCode ?? 1) !== 1 || child.signalCode) {
      const why = failure?.message ?? child.signalCode ?? `exit code ${child.exitCode}`;
      throw new HyperplugError('NET_INIT_FAILED', `switch in ${directory}: it ended: ${why}`, { cause: failure });
    }
    await pause(POLL_MS);
  }
}

/** Ends the switch and removes its directory. Idempotent. */
export async function stopSwitch(directory: string, options: CallOptions): Promise<void> {
  const status = await readStatus(directory, options);
  const process = status && identifyProcess(status.pid);
  if (process) {
    await callSwitch(directory, { do: 'stop' }, options);
    await waitGone(process, options);
  }
  await rm(directory, { recursive: true, force: true });
}
