import { closeSync, writeSync } from 'node:fs';
import { closeGivenOnExec } from './close-on-exec.js';
import { ownChild } from './own-child.js';
import { readProcess } from './process.js';

/** A VM that the launcher has begun before this process was this program. */
export interface GivenVm {
  readonly podId: string;
  /** Of its NICs, in their order. */
  readonly macs: readonly string[];
  /** Our child. */
  readonly pid: number;
  /** Its user; undefined: ours. */
  readonly uid?: number;
  /** That we listen at. */
  readonly socketFd: number;
  /** Where its standard error is read. */
  readonly stderrFd: number;
  /** Of its pod's lock, which we have. */
  readonly lockFd: number;
  /** The memo that it was begun by. */
  readonly memoFd: number;
  /** Who undoes all of it, when the VM has ended, unless told that it was taken; our child. */
  readonly janitorFd: number;
  readonly janitorPid: number;
}

/** @param text of the launcher's variable. What this process starts from now on inherits none of it. @throws TypeError it is none. */
export function parseGiven(text: string): GivenVm {
  const given: unknown = JSON.parse(text);
  if (!isGiven(given)) throw new TypeError('no VM is given');
  const { socketFd, stderrFd, lockFd, memoFd, janitorFd } = given;
  closeGivenOnExec([socketFd, stderrFd, lockFd, memoFd, janitorFd]);
  return given;
}

function isGiven(given: unknown): given is GivenVm {
  const it = given as GivenVm;
  const numbers = [it.pid, it.socketFd, it.stderrFd, it.lockFd, it.memoFd, it.janitorFd, it.janitorPid, it.uid ?? 0];
  return (
    typeof it.podId === 'string' &&
    Array.isArray(it.macs) &&
    it.macs.every((mac) => typeof mac === 'string') &&
    numbers.every((number) => Number.isSafeInteger(number) && number >= 0)
  );
}

/** Whoever has it stands for all that the VM has from now on. */
export function tellTaken({ janitorFd, janitorPid }: GivenVm): void {
  const janitor = ownChild(janitorPid, undefined);
  writeSync(janitorFd, 't');
  closeSync(janitorFd);
  janitor.unref();
}

/** Resolves when all is undone. */
export async function leaveToJanitor({ pid, janitorFd, janitorPid, lockFd }: GivenVm): Promise<void> {
  const janitor = ownChild(janitorPid, undefined);
  if (readProcess(pid)?.parentPid === process.pid) process.kill(pid, 'SIGKILL');
  closeSync(lockFd);
  closeSync(janitorFd);
  await janitor.exited;
}
