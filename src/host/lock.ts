import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { constants as osConstants } from 'node:os';
import { dirname } from 'node:path';
import { abortError } from '../core/calls.js';
import { HyperplugError } from '../core/errors.js';
import type { HeldLock } from '../core/host-services.js';
import type { ProcessIdentity } from '../core/hypervisor.js';
import { ownIdentity, sameProcess } from './process.js';

/** linux/fcntl.h */
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

const FIRST_WAIT_MS = 2;
const LONGEST_WAIT_MS = 100;
/** The file's fixed size: it is overwritten in place, as truncating and writing again makes ext4 flush at every close. */
const HOLDER_BYTES = 1024;

/** Who holds a lock exclusively, as it wrote into the file. */
export interface LockHolder {
  readonly process: ProcessIdentity;
  readonly purpose: string;
  /** ISO 8601. */
  readonly since: string;
}

export interface LockOptions {
  readonly signal: AbortSignal;
  /** Default true; false: shared with others that ask for it shared. */
  readonly exclusive?: boolean;
  /** What for, in the messages of those who wait. */
  readonly purpose?: string;
  /** Called once, when somebody else has it. undefined: it cannot be told who. */
  readonly onWait?: (holder: LockHolder | undefined) => void;
}

export interface FileLock extends HeldLock, Disposable {
  /** Releases; idempotent. `remove` also removes the file, which is safe while the lock is held exclusively. */
  release(options?: { readonly remove?: boolean }): Promise<void>;
}

/**
 * flock(2) on `path`, which is made (mode 0600, parents 0700) if missing. The kernel drops the lock when this process
 * ends, however it ends; children do not inherit it. Two locks of one process exclude each other as well. The wait holds
 * neither a thread nor the event loop.
 * @throws TIMEOUT or ABORTED by the signal, with `details.holder` and the holder in the message; HOST_PERMISSION when the
 * file cannot be made or locked.
 */
export async function acquireLock(path: string, options: LockOptions): Promise<FileLock> {
  const { exclusive = true, purpose = '' } = options;
  const own = exclusive ? takeKeptLock(path) : undefined;
  if (own) return own;
  const fd = await tryUntil(path, options, () => tryLock(path, exclusive));
  if (exclusive) writeHolder(fd, purpose);
  return held(path, fd, exclusive);
}

/** What `attempt` gives at last; waits between its attempts, which give undefined. @throws as acquireLock(). */
export async function tryUntil<T>(
  path: string,
  { signal, onWait }: LockOptions,
  attempt: () => T | undefined,
): Promise<T> {
  let told = false;
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    if (signal.aborted) throw waitError(path, signal, told);
    const result = attempt();
    if (result !== undefined) return result;
    if (!told) {
      told = true;
      onWait?.(readLockHolder(path));
    }
    // Jitter, so that waiters who came together do not stay in step.
    await pause(waitMs * (0.5 + Math.random() / 2), signal);
  }
}

/** A lock that this process has exclusively on an open file, from before it was this program. */
export function givenLock(path: string, fd: number, purpose: string): FileLock {
  writeHolder(fd, purpose);
  return held(path, fd, true);
}

const kept = new Map<string, FileLock>();

/** This process has it already: whoever in it asks for it exclusively first has it from then on. */
export function keepLockFor(path: string, lock: FileLock): void {
  kept.set(path, lock);
}

/** undefined: nothing was kept, or somebody has it by now. */
export function takeKeptLock(path: string): FileLock | undefined {
  const lock = kept.get(path);
  kept.delete(path);
  return lock;
}

/** undefined: nobody, a shared lock, or a holder that has ended. */
export function readLockHolder(path: string): LockHolder | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const buffer = Buffer.alloc(HOLDER_BYTES);
    const holder = parseHolder(buffer.toString('utf8', 0, readSync(fd, buffer, 0, buffer.length, 0)));
    return holder && sameProcess(holder.process) ? holder : undefined;
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}

function parseHolder(text: string): LockHolder | undefined {
  const value = JSON.parse(text) as Partial<LockHolder> | null;
  const { pid, startTime, bootId } = value?.process ?? {};
  if (!Number.isSafeInteger(pid) || (pid as number) <= 0 || !Number.isSafeInteger(startTime)) return undefined;
  if (typeof bootId !== 'string' || typeof value?.purpose !== 'string' || typeof value.since !== 'string') {
    return undefined;
  }
  return value as LockHolder;
}

function waitError(path: string, signal: AbortSignal, waited: boolean): HyperplugError {
  const reason = abortError(signal, `lock ${path}`);
  if (!waited) return reason;
  const holder = readLockHolder(path);
  const who = holder
    ? `process ${holder.process.pid}${holder.purpose && ` (${holder.purpose})`} since ${holder.since}`
    : 'another process';
  return new HyperplugError(reason.code, `${reason.message}; lock ${path} is held by ${who}`, {
    cause: reason,
    details: { ...reason.details, path, ...(holder && { holder }) },
  });
}

/** The descriptor that holds the lock, or undefined: somebody else has it, or the file was replaced meanwhile. */
function tryLock(path: string, exclusive: boolean): number | undefined {
  const file = openLockFile(path);
  const keep = lockOpen(path, file, exclusive);
  if (!keep) closeSync(file.fd);
  return keep ? file.fd : undefined;
}

/** A lock's file, open. */
export interface LockFile {
  readonly fd: number;
  readonly dev: number;
  readonly ino: number;
}

/** False: somebody else has it; or a holder removed the file before our lock, which then is on nobody's file. */
export function lockOpen(path: string, file: LockFile, exclusive: boolean): boolean {
  if (!flock(path, file.fd, exclusive)) return false;
  const current = statSync(path, { throwIfNoEntry: false });
  return current !== undefined && current.dev === file.dev && current.ino === file.ino;
}

/** Makes it if it is missing. @throws HOST_PERMISSION. */
export function openLockFile(path: string): LockFile {
  const fd = openOrMake(path);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) throw refused(path, 'not a regular file');
    if ((stats.mode & 0o077) !== 0 && stats.uid === process.geteuid?.()) fchmodSync(fd, 0o600);
    return { fd, dev: stats.dev, ino: stats.ino };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openOrMake(path: string): number {
  // Node opens with O_CLOEXEC.
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw refused(path, (error as Error).message, error);
  }
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return openSync(path, flags, 0o600);
  } catch (error) {
    throw refused(path, (error as Error).message, error);
  }
}

function refused(path: string, reason: string, cause?: unknown): HyperplugError {
  return new HyperplugError('HOST_PERMISSION', `lock ${path}: ${reason}`, {
    ...(cause === undefined ? {} : { cause }),
    details: { path, reason },
  });
}

interface Native {
  flock(fd: number, operation: number): number;
  errno(): number;
}
let native: Native | undefined;

function loadNative(): Native {
  if (native) return native;
  const koffi = createRequire(import.meta.url)('koffi');
  native = { flock: koffi.load(null).func('int flock(int, int)'), errno: () => koffi.errno() };
  return native;
}

/** flock(2) on an open file; the kernel drops it with the descriptor. False: somebody else has it. */
export function flock(path: string, fd: number, exclusive: boolean): boolean {
  return operate(path, fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
}

/** Drops the lock of a file that stays open. */
export function unlock(path: string, fd: number): void {
  operate(path, fd, LOCK_UN);
}

function operate(path: string, fd: number, operation: number): boolean {
  const lib = loadNative();
  for (;;) {
    if (lib.flock(fd, operation) === 0) return true;
    const errno = lib.errno();
    if (errno === osConstants.errno.EWOULDBLOCK) return false;
    if (errno !== osConstants.errno.EINTR) throw refused(path, `flock: errno ${errno}`);
  }
}

/** Says in the file of an exclusive lock who has it. */
export function writeHolder(fd: number, purpose: string): void {
  const text = (what: string) =>
    JSON.stringify({ process: ownIdentity(), purpose: what, since: new Date().toISOString() } satisfies LockHolder);
  const full = text(purpose);
  const bytes = Buffer.alloc(HOLDER_BYTES, '\n');
  bytes.write(Buffer.byteLength(full) < HOLDER_BYTES ? full : text(''));
  try {
    writeSync(fd, bytes, 0, HOLDER_BYTES, 0);
  } catch {
    // On a full disk the lock holds all the same; only the messages of those who wait say less.
  }
}

/** What is no JSON any more says that nobody has it. */
export function clearHolder(fd: number): void {
  try {
    writeSync(fd, '-', 0);
  } catch {
    // On a full disk the content stands: it is checked against the living anyway.
  }
}

function held(path: string, fd: number, exclusive: boolean): FileLock {
  let open = true;
  const free = (remove: boolean) => {
    if (!open) return;
    open = false;
    try {
      if (exclusive && remove) unlinkSync(path);
      else if (exclusive) clearHolder(fd);
    } catch {
      // Gone already.
    } finally {
      closeSync(fd);
    }
  };
  return {
    release: async (options) => free(options?.remove ?? false),
    [Symbol.asyncDispose]: async () => free(false),
    [Symbol.dispose]: () => free(false),
  };
}

function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    signal.addEventListener('abort', done, { once: true });
  });
}
