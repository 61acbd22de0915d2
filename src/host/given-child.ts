import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { type ChildExit, type ConfinedChild, keepTail } from './confined-spawn.js';
import { readProcess, watchProcess } from './process.js';

/**
 * A child that this process had before it was this program: the kernel knows it for ours, Node does not.
 * @param stderrFd the end to read of its standard error. @throws TypeError it is no child of ours.
 */
export function givenChild(pid: number, stderrFd: number): ConfinedChild {
  const snapshot = readProcess(pid);
  if (snapshot?.parentPid !== process.pid) throw new TypeError(`process ${pid} is no child of ours`);
  const stderr = new Socket({ fd: stderrFd, readable: true, writable: false });
  const stderrTail = keepTail(stderr);
  const read = new Promise<void>((resolve) => stderr.once('close', resolve));
  stderr.on('error', () => {});
  const watch = watchProcess(snapshot.identity);
  const { identity } = snapshot;
  return {
    identity,
    exited: watch.gone.then(async () => {
      const exit = reap(pid);
      await read;
      return exit;
    }),
    stderrTail,
    unref() {
      watch.close();
      stderr.unref();
    },
  };
}

/** wait(2): who has ended does not stay in the table of processes. */
function reap(pid: number): ChildExit {
  const koffi = createRequire(import.meta.url)('koffi');
  const status = Buffer.alloc(4);
  const waitpid = koffi.load(null).func('int waitpid(int pid, void *status, int options)');
  if (waitpid(pid, status, 0) !== pid) return { exitCode: null, signal: null };
  return exitOf(status.readInt32LE());
}

/** bits/waitstatus.h. */
function exitOf(status: number): ChildExit {
  const killer = status & 0x7f;
  if (killer === 0) return { exitCode: (status >> 8) & 0xff, signal: null };
  const name = Object.entries(constants.signals).find(([, number]) => number === killer)?.[0];
  return { exitCode: null, signal: (name as NodeJS.Signals | undefined) ?? null };
}
