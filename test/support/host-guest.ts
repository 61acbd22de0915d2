import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import type { FileTarget, GuestProcess } from '../../src/core/agent.js';
import { HyperplugError } from '../../src/core/errors.js';
import { ExecProcess } from '../../src/core/pod/exec/process.js';
import type { ExecOptions, ExecRequest } from '../../src/core/pod/exec/types.js';
import { HandleFiles } from '../../src/core/pod/files/handle-files.js';
import type { PodFiles } from '../../src/core/pod/files/types.js';
import type { PodBackend } from '../../src/core/pod/pod-backend.js';

/** This machine as a guest: its programs are run as those of a pod would be. `programs` replaces some. */
export function hostGuest(programs: Readonly<Record<string, readonly string[] | null>> = {}) {
  const argvs: (readonly string[])[] = [];
  const requests: ExecRequest[] = [];
  const start = async (request: ExecRequest): Promise<GuestProcess> => {
    const { argv, env, workingDirectory = '/' } = request;
    argvs.push(argv);
    requests.push(request);
    const [program = '', ...args] = argv;
    const instead = programs[program];
    if (instead === null) throw missing(program);
    const [file = program, ...first] = instead ?? [program];
    const child = spawn(file, [...first, ...args], { env: { PATH: process.env.PATH, ...env }, cwd: workingDirectory });
    await once(child, 'spawn').catch(() => {
      throw missing(program);
    });
    return guestProcess(child);
  };
  const exec = <const O extends ExecOptions>(argv: readonly string[], options: O) =>
    new ExecProcess<O>(
      argv,
      options,
      (request, signal) => {
        signal.throwIfAborted();
        return start(request);
      },
      async (error) => error,
    );
  const backend = {
    writeFile: async (path: string, content: Uint8Array, _call: unknown, { mode = 0o644 }: FileTarget) => {
      await writeFile(path, content);
      await chmod(path, mode);
    },
    readFile: (path: string) => readFile(path),
  } as unknown as PodBackend;
  const files: PodFiles = new HandleFiles(
    backend,
    (_what, { signal = new AbortController().signal }, body) => body({ signal }),
    exec,
  );
  return { exec, files, argvs, requests };
}

function guestProcess(child: ChildProcess): GuestProcess {
  const { stdin, stdout, stderr } = child;
  if (!stdin || !stdout || !stderr) throw new Error('no pipes');
  const exited = new Promise<{ exitCode: number; signal?: number }>((resolve) => {
    child.once('exit', (code, signal) => {
      const number = signal ? constants.signals[signal] : undefined;
      resolve(number === undefined ? { exitCode: code ?? 255 } : { exitCode: 128 + number, signal: number });
    });
  });
  return {
    id: String(child.pid),
    stdin,
    stdout,
    stderr,
    exited,
    kill: async (signal) => {
      if (!child.kill(signal)) throw new HyperplugError('AGENT_REFUSED', 'it has ended already');
    },
    resize: async () => {},
  };
}

function missing(program: string): HyperplugError {
  return new HyperplugError('AGENT_EXEC_FAILED', `${program}: No such file or directory`, { details: { errno: 2 } });
}
