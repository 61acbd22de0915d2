import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, realpathSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import { isHyperplugError } from '../../../src/core/errors.js';
import type { Hyperplug } from '../../../src/core/pod/types.js';
import { acquireLock } from '../../../src/host/lock.js';
import { inconsistencies } from './consistency.js';
import { KillMatrix } from './matrix.js';

/**
 * Run as a program, in a mount namespace of its own: makes something fail under a manager that lives on, looks at what is
 * left, mends it, and has the same manager try again. Prints what came of each.
 */
export interface FailureOutcome {
  readonly code: string;
  readonly message: string;
  /** What was half made, in words. */
  readonly left: readonly string[];
  /** Of the same call, mended: `ok`, or what was wrong. */
  readonly mended: string;
}

interface Failure {
  /** Breaks it; the returned function mends it. */
  breakIt(matrix: KillMatrix, hyperplug: Hyperplug): Promise<() => Promise<void> | void> | (() => Promise<void> | void);
  /** It fails by the call's own deadline, for which there is no need to wait long. */
  waits?: true;
  /** Before it: a first pod comes and goes, so that everything is open and made. Default true. */
  warm?: boolean;
}

const DEADLINE_MS = 20_000;
/** More than a pod takes, as the call is to get as far as the lock. */
const SHORT_DEADLINE_MS = 5_000;

async function createAndRemove(hyperplug: Hyperplug, timeoutMs = DEADLINE_MS): Promise<void> {
  // Large enough to need more than the pages that the store has free.
  const labels = Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`label-${at}`, 'x'.repeat(1_000)]));
  const spec = { id: 'q', portmappings: [{ hostPort: 18_200, containerPort: 80 }], labels };
  const pod = await hyperplug.createPod(spec, { signal: AbortSignal.timeout(timeoutMs) });
  await pod.remove();
}

const mount = (...args: string[]) => void execFileSync('mount', args, { stdio: ['ignore', 'ignore', 'pipe'] });

/** Fills the file system of a directory to its last byte. */
function fill(directory: string): () => void {
  const path = join(directory, 'filler');
  const fd = openSync(path, 'w');
  for (let size = 65_536; size >= 1; ) {
    try {
      if (writeSync(fd, Buffer.alloc(size)) === 0) size >>= 1;
    } catch {
      size >>= 1;
    }
  }
  closeSync(fd);
  return () => rmSync(path);
}

/** A lock that another process has, and does not give back. */
async function holdLock(path: string): Promise<() => Promise<void>> {
  const lock = await acquireLock(path, { signal: AbortSignal.timeout(5_000), purpose: 'a test that holds it' });
  return () => lock.release();
}

/** asm-generic/resource.h. The hard limit stays as it was. */
const RLIMIT_NOFILE = 7;
const libc = koffi.load('libc.so.6');
const getrlimit = libc.func('int getrlimit(int resource, _Out_ uint8_t *limits)');
const setrlimit = libc.func('int setrlimit(int resource, const uint8_t *limits)');

/** Descriptors that may be open beyond those that are. */
function limitFiles(more: number): () => void {
  const before = Buffer.alloc(16);
  getrlimit(RLIMIT_NOFILE, before);
  const limits = Buffer.from(before);
  limits.writeBigUInt64LE(BigInt(readdirSync('/proc/self/fd').length + more), 0);
  setrlimit(RLIMIT_NOFILE, limits);
  return () => void setrlimit(RLIMIT_NOFILE, before);
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** The clock is a day ahead, then a day behind, from one look to the next. */
function stepClock(): () => void {
  const True = Date;
  let ahead = false;
  const now = () => {
    ahead = !ahead;
    return True.now() + (ahead ? DAY_MS : -DAY_MS);
  };
  globalThis.Date = new Proxy(True, {
    construct: (target, args) => Reflect.construct(target, args.length === 0 ? [now()] : args),
    get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
  });
  return () => {
    globalThis.Date = True;
  };
}

export const FAILURES: Readonly<Record<string, Failure>> = {
  'disk of the state full': {
    // Else the store has free pages of the first pod.
    warm: false,
    async breakIt({ root }, hyperplug) {
      await hyperplug.networks.init();
      return fill(join(root, 'state'));
    },
  },
  'disk of the runtime directory full': { breakIt: ({ root }) => fill(join(root, 'run')) },
  'state read-only': {
    warm: false,
    breakIt({ root }) {
      const state = join(root, 'state');
      mount('-o', 'remount,ro', state);
      return () => mount('-o', 'remount,rw', state);
    },
  },
  'iptables broken': {
    warm: false,
    breakIt() {
      // What all its names lead to.
      const program = realpathSync('/usr/sbin/iptables-save');
      mount('--bind', '/bin/false', program);
      return () => void execFileSync('umount', [program]);
    },
  },
  'bridge deleted under us': {
    async breakIt({ namespace }, hyperplug) {
      namespace.ip('link', 'delete', 'hyper0');
      return async () => void (await hyperplug.networks.repair());
    },
  },
  'too many open files': {
    breakIt(_matrix, hyperplug) {
      const mend = limitFiles(3);
      return async () => {
        mend();
        // What could not be undone without descriptors is undone by gc, of whichever process.
        const { findings } = await hyperplug.gc();
        const failed = findings.filter(({ action }) => action === 'failed');
        if (failed.length > 0) throw new Error(`gc: ${JSON.stringify(failed)}`);
      };
    },
  },
  'clock stepped': { breakIt: stepClock },
  'lock of the networks held': {
    breakIt: ({ root }) => holdLock(join(root, 'run/locks/network.lock')),
    waits: true,
  },
  'lock of the pod held': { breakIt: ({ root }) => holdLock(join(root, 'run/locks/q.lock')) },
  'lock of the state held': {
    breakIt: ({ root }) => holdLock(join(root, 'state/state.mdb.lock')),
    waits: true,
  },
};

async function outcomeOf(name: string, { breakIt, waits, warm = true }: Failure): Promise<FailureOutcome> {
  const matrix = new KillMatrix();
  const { root } = matrix;
  try {
    for (const folder of ['state', 'run']) {
      execFileSync('mkdir', ['-m', '700', join(root, folder)]);
      mount('-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'none', join(root, folder));
    }
    await using hyperplug = await matrix.open();
    if (warm) await createAndRemove(hyperplug);
    const mend = await breakIt(matrix, hyperplug);
    let failure: unknown;
    try {
      await createAndRemove(hyperplug, waits ? SHORT_DEADLINE_MS : DEADLINE_MS);
    } catch (error) {
      failure = error;
    }
    await mend();
    const found = existsSync(join(root, 'state/state.mdb')) ? await inconsistencies(matrix, hyperplug) : [];
    // The file of a lock that was held is its holder's.
    const left = found.filter((each) => !(name.startsWith('lock of') && each.startsWith('locks:')));
    const mended = await createAndRemove(hyperplug).then(
      () => 'ok',
      (error: unknown) => String(error),
    );
    const code = isHyperplugError(failure) ? failure.code : failure === undefined ? 'none' : 'not ours';
    const message = failure instanceof Error ? failure.message : String(failure);
    return { code, message, left, mended };
  } catch (error) {
    return { code: 'test', message: `${name}: ${error instanceof Error ? error.stack : error}`, left: [], mended: '' };
  } finally {
    await matrix.dispose().catch(() => {});
    for (const folder of ['state', 'run']) spawnSync('umount', ['-l', join(root, folder)], { stdio: 'ignore' });
    rmSync(root, { recursive: true, force: true });
  }
}

for (const name of process.argv.slice(2)) {
  const failure = FAILURES[name];
  const outcome = failure ? await outcomeOf(name, failure) : { code: 'test', message: 'is not known' };
  process.stdout.write(`${JSON.stringify({ name, ...outcome })}\n`);
}
process.exit(0);
