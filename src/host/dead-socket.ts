import { lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { withDeadline } from '../core/calls.js';
import { hasCode } from '../core/errors.js';
import type { GcFinding } from '../core/gc/types.js';
import { acquireLock, readLockHolder } from './lock.js';

const PROBE_TIMEOUT_MS = 2_000;
const LOCK_TIMEOUT_MS = 200;

/** Whether anybody listens there: only a refused connection proves that nobody does. */
export async function somebodyListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (alive: boolean) => {
      socket.destroy();
      resolve(alive);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => done(true));
    socket.once('connect', () => done(true));
    socket.once('error', (error: NodeJS.ErrnoException) =>
      done(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}

/** The socket of a server that died; whoever serves there has `lockPath`, so that none can come meanwhile. */
export async function tidySocket(
  path: string,
  lockPath: string,
  dryRun: boolean,
  signal: AbortSignal,
): Promise<GcFinding[]> {
  const isDead = async () =>
    lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true && !(await somebodyListens(path));
  if (readLockHolder(lockPath) || !(await isDead())) return [];
  const thing = { kind: 'socket', id: path, why: 'nobody listens there' } as const;
  if (dryRun) return [{ ...thing, action: 'removed' }];
  try {
    await using _lock = await withDeadline('gc', LOCK_TIMEOUT_MS, signal, (call) =>
      acquireLock(lockPath, { signal: call.signal, purpose: 'gc' }),
    );
    if (!(await isDead())) return [];
    unlinkSync(path);
    return [{ ...thing, action: 'removed' }];
  } catch (error) {
    if (hasCode(error, 'TIMEOUT')) return [];
    if (hasCode(error, 'ABORTED')) throw error;
    return [{ ...thing, action: 'failed', error: { message: (error as Error).message } }];
  }
}
