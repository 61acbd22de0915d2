import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { HyperplugError } from '../core/errors.js';
import type { ProcessIdentity } from '../core/hypervisor.js';
import { readProcess, watchProcess } from './process.js';

export interface ChildExit {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A child in a session of its own, so that a terminal's Ctrl-C does not reach it. */
export interface ConfinedChild {
  readonly identity: ProcessIdentity;
  readonly exited: Promise<ChildExit>;
  /** What it has written to stderr, the last 4 KiB; empty where stderr was given as a descriptor. */
  stderrTail(): string;
  /** This process may end before the child. */
  unref(): void;
}

const STDERR_TAIL_BYTES = 4096;

/**
 * A child of this process that Node has not started, and so does not wait for.
 * @param stderrFd the end to read of its standard error, ours from now on. @throws HOST_PERMISSION, TypeError: it is no child of ours.
 */
export function ownChild(pid: number, stderrFd: number | undefined): ConfinedChild {
  const snapshot = readProcess(pid);
  if (!snapshot)
    throw new HyperplugError('HOST_PERMISSION', `/proc does not show process ${pid}, which was just started`);
  if (snapshot.parentPid !== process.pid) throw new TypeError(`process ${pid} is no child of ours`);
  const { identity } = snapshot;
  const stderr = stderrFd === undefined ? undefined : readingTail(stderrFd);
  const watch = watchProcess(identity);
  return {
    identity,
    exited: watch.gone.then(async () => {
      const exit = reap(pid);
      // By then all of stderr has been read.
      await stderr?.ended;
      return exit;
    }),
    stderrTail: () => stderr?.tail() ?? '',
    unref() {
      watch.unref();
      stderr?.unref();
    },
  };
}

function readingTail(fd: number) {
  const stream = new Socket({ fd, readable: true, writable: false });
  let tail = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-STDERR_TAIL_BYTES);
  });
  stream.on('error', () => {});
  const ended = new Promise<void>((resolve) => stream.once('close', resolve));
  return { ended, tail: () => tail.toString('utf8'), unref: () => stream.unref() };
}

/** wait(2): who has ended does not stay in the table of processes. One that has not is waited for. */
export function reap(pid: number): ChildExit {
  const koffi = createRequire(import.meta.url)('koffi');
  waitpid ??= koffi.load(null).func('int waitpid(int pid, _Out_ int *status, int options)') as typeof waitpid;
  const status = new Int32Array(1);
  if (waitpid?.(pid, status, 0) !== pid) return { exitCode: null, signal: null };
  return exitOf(status[0] as number);
}

let waitpid: ((pid: number, status: Int32Array, options: number) => number) | undefined;

/** bits/waitstatus.h. */
function exitOf(status: number): ChildExit {
  const killer = status & 0x7f;
  if (killer === 0) return { exitCode: (status >> 8) & 0xff, signal: null };
  const name = Object.entries(constants.signals).find(([, number]) => number === killer)?.[0];
  return { exitCode: null, signal: (name as NodeJS.Signals | undefined) ?? null };
}
