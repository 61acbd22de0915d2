/**
 * The command line as a program of its own, whose pods run commands on this host: what tests of exit codes, signals,
 * pipes and terminals start. `keys` is a program for terminals: it shows each byte and each size that arrives.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { processIo } from '../../../src/cli/process-io.js';
import { runMain } from '../../../src/cli/run-main.js';
import type { ExecExit, GuestProcess, TerminalSize } from '../../../src/core/agent.js';
import { HyperplugError } from '../../../src/core/errors.js';
import type { ExecRequest } from '../../../src/core/pod/types.js';
import { FakeHyperplug, FakeProcess } from './fake-engine.js';
import { fakeDeps } from './fake-io.js';

async function hostProcess(request: ExecRequest): Promise<GuestProcess> {
  if (request.argv[0] === 'keys') return keys(request);
  const [file = '', ...args] = request.argv;
  // A session of its own, as a guest's process has: the terminal's signals do not reach it by themselves.
  const child = spawn(file, args, { env: { ...process.env, ...request.env }, detached: true });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error: NodeJS.ErrnoException) => {
      const errno = Math.abs(error.errno ?? 0);
      reject(new HyperplugError('AGENT_EXEC_FAILED', `${file}: ${error.message}`, { details: { errno } }));
    });
  });
  const exited = new Promise<ExecExit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ exitCode: code ?? 128 + constants.signals[signal ?? 'SIGKILL'] }));
  });
  process.once('exit', () => child.kill('SIGKILL'));
  return {
    id: String(child.pid),
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    exited,
    kill: async (signal: number) => void child.kill(signal),
    resize: async () => {},
  };
}

function keys(request: ExecRequest): GuestProcess {
  const fake = new FakeProcess(request);
  const say = (text: string) => fake.stdout.write(`${text}\r\n`);
  const shown = ({ rows, columns }: TerminalSize) => `size ${rows}x${columns}`;
  if (request.size) say(shown(request.size));
  say(`term ${request.env?.TERM}`);
  fake.resize = async (size) => void say(shown(size));
  fake.onSignal = (signal) => {
    say(`signal ${signal}`);
    fake.exit(128 + signal);
  };
  fake.stdin.on('data', (data: Buffer) => {
    for (const byte of data) say(`byte ${byte.toString(16).padStart(2, '0')}`);
    if (data.includes('q')) fake.exit(9);
    if (data.includes('!')) throw new Error('crash on purpose');
  });
  return fake;
}

const hyperplug = new FakeHyperplug(hostProcess);
const setupMs = Number(process.env.HARNESS_SETUP_MS ?? 0);
hyperplug.beforeCreate = ({ signal }) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, setupMs);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      process.stderr.write('set-up undone\n');
      reject(signal.reason);
    });
    if (setupMs > 0) process.stderr.write('setting up\n');
  });
await runMain(process.argv.slice(2), fakeDeps(processIo(), hyperplug).deps);
