import { readdirSync, readFileSync } from 'node:fs';
import type { CallOptions } from '../core/calls.js';
import { raceSignal, throwIfAborted } from '../core/calls.js';
import { HyperplugError } from '../core/errors.js';
import type { ProcessIdentity } from '../core/hypervisor.js';
import { openPidfd, type Pidfd } from './process-pidfd.js';

/** What /proc says of a process at one moment. */
export interface ProcessSnapshot {
  readonly identity: ProcessIdentity;
  /** `R`, `S`, `D`, `Z` … (proc_pid_stat(5)). */
  readonly state: string;
  readonly parentPid: number;
}

/** Fields of /proc/PID/stat; undefined when the text is not one. The name (field 2) may hold spaces and parentheses. */
export function parseProcStat(text: string): { state: string; parentPid: number; startTime: number } | undefined {
  const end = text.lastIndexOf(')');
  if (end < 0) return undefined;
  const fields = text
    .slice(end + 1)
    .trim()
    .split(/\s+/);
  const [state, parent] = fields;
  const parentPid = Number(parent);
  const startTime = Number(fields[19]);
  if (!state || !Number.isSafeInteger(parentPid) || !Number.isSafeInteger(startTime)) return undefined;
  return { state, parentPid, startTime };
}

let bootId: string | undefined;

/** /proc/sys/kernel/random/boot_id. */
export function currentBootId(): string {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return bootId;
}

/** undefined: no such process. procfs never blocks, so this is synchronous. */
export function readProcess(pid: number): ProcessSnapshot | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 0) throw new TypeError(`pid: expected a positive integer, got ${pid}`);
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
  const stat = parseProcStat(text);
  if (!stat) return undefined;
  return {
    identity: { pid, startTime: stat.startTime, bootId: currentBootId() },
    state: stat.state,
    parentPid: stat.parentPid,
  };
}

/** Identity of a live process. undefined: there is none of this pid (a zombie has ended, and is none). */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const process = readProcess(pid);
  return process && !hasEnded(process.state) ? process.identity : undefined;
}

/** This process. */
export function ownIdentity(): ProcessIdentity {
  ownProcess ??= identifyProcess(process.pid);
  if (!ownProcess) throw new HyperplugError('HOST_PERMISSION', '/proc does not show this process; is it mounted?');
  return ownProcess;
}

/** It never changes. */
let ownProcess: ProcessIdentity | undefined;

/** True while exactly this process lives: same boot, pid and start time, and not a zombie. */
export function sameProcess(identity: ProcessIdentity): boolean {
  return isStill(identity, (state) => !hasEnded(state));
}

/** The pid is still this process's, be it a zombie. */
function isStill(identity: ProcessIdentity, accepts: (state: string) => boolean = () => true): boolean {
  if (identity.bootId !== currentBootId()) return false;
  const now = readProcess(identity.pid);
  return now !== undefined && now.identity.startTime === identity.startTime && accepts(now.state);
}

/**
 * Whether a descriptor that was just opened is this process's. A zombie counts: its first thread has ended, others may
 * still be at work with all its files, and the descriptor alone tells when the last of them is gone.
 */
function held(pidfd: Pidfd | 'unavailable', identity: ProcessIdentity): boolean {
  return pidfd === 'unavailable' ? sameProcess(identity) : isStill(identity);
}

function hasEnded(state: string): boolean {
  return state === 'Z' || state === 'X' || state === 'x';
}

/** argv as the process sees it now; undefined: gone, or not ours to read. A process can write what it likes there. */
export function processArgv(pid: number): readonly string[] | undefined {
  try {
    const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    if (argv.at(-1) === '') argv.pop();
    return argv;
  } catch {
    return undefined;
  }
}

/** Pids of the children of a process's first thread, as it has them now; none of one that is gone. */
export function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    // Kernels without CONFIG_PROC_CHILDREN.
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((each) => readProcess(each)?.parentPid === pid);
  }
}

/** The end of a process, watched without a thread or a child relation. */
export interface ProcessWatch {
  readonly gone: Promise<void>;
  /** It keeps this process no longer, which may end before. */
  unref(): void;
  /** Ends the watch; `gone` then stays pending. Idempotent. */
  close(): void;
}

const POLL_INTERVAL_MS = 50;

/** Watches by pidfd, or by looking at /proc every 50 ms where the kernel or koffi lacks it. */
export function watchProcess(identity: ProcessIdentity): ProcessWatch {
  // The pidfd first, then the check: so it cannot be another process's.
  const pidfd = openPidfd(identity.pid);
  if (pidfd === 'gone' || !held(pidfd, identity)) {
    if (typeof pidfd === 'object') pidfd.close();
    return { gone: Promise.resolve(), unref() {}, close() {} };
  }
  if (pidfd === 'unavailable') return watchByPolling(identity);
  const gone = pidfd.waitExit();
  gone.then(
    () => pidfd.close(),
    () => pidfd.close(),
  );
  return { gone, unref: () => pidfd.unref(), close: () => pidfd.close() };
}

function watchByPolling(identity: ProcessIdentity): ProcessWatch {
  let timer: NodeJS.Timeout | undefined;
  const gone = new Promise<void>((resolve) => {
    timer = setInterval(() => {
      if (sameProcess(identity)) return;
      clearInterval(timer);
      resolve();
    }, POLL_INTERVAL_MS);
  });
  return { gone, unref: () => timer?.unref(), close: () => clearInterval(timer) };
}

/** Resolves when the process has ended (a zombie has). @throws TIMEOUT, ABORTED: it still lives. */
export async function waitGone(identity: ProcessIdentity, options: CallOptions): Promise<void> {
  throwIfAborted(options.signal, `wait for the end of process ${identity.pid}`);
  const watch = watchProcess(identity);
  try {
    await raceSignal(watch.gone, options.signal, `wait for the end of process ${identity.pid}`);
  } finally {
    watch.close();
  }
}

/**
 * Sends a signal to exactly this process, never to another that has its pid now. False: it is gone already; a zombie
 * takes it, and it ends threads that it still has.
 * @throws HOST_PERMISSION
 */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  const pidfd = openPidfd(identity.pid);
  if (pidfd === 'gone') return false;
  try {
    if (!held(pidfd, identity)) return false;
    if (pidfd !== 'unavailable') return pidfd.sendSignal(signal);
    process.kill(identity.pid, signal);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ESRCH') return false;
    if (code !== 'EPERM') throw error;
    throw new HyperplugError('HOST_PERMISSION', `process ${identity.pid} belongs to another user: not signalled`, {
      cause: error,
      details: { pid: identity.pid, signal },
    });
  } finally {
    if (typeof pidfd === 'object') pidfd.close();
  }
}

/**
 * Ends the process (SIGKILL) and waits until it is gone. Idempotent.
 * @throws TIMEOUT, ABORTED: it was signalled and still lives (stuck in the kernel); HOST_PERMISSION.
 */
export async function killProcess(identity: ProcessIdentity, options: CallOptions): Promise<void> {
  signalProcess(identity, 'SIGKILL');
  await waitGone(identity, options);
}
