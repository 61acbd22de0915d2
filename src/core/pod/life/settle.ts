import { type CallOptions, withDeadline } from '../../calls.js';
import { HyperplugError, hasCode } from '../../errors.js';
import { destroyPod } from '../destroy.js';
import { lockPod, underLock } from '../lock.js';
import type { PodRecord } from '../record.js';
import { type PodServices, podDirectories } from '../services.js';
import { finishPod } from './finish.js';
import { holdsSomething, look } from './look.js';

/** Of a pod whose lock we have: what a process that died left under way is brought to an end. */
export async function settleLocked(services: PodServices, record: PodRecord, call: CallOptions): Promise<PodRecord> {
  const { id } = record;
  const { toSettle, failure } = await look(services.host, record, true);
  if (!toSettle) return record;
  if (record.state === 'creating' || record.state === 'removing') {
    await destroyPod(services, record, call);
    throw new HyperplugError(
      'POD_NOT_FOUND',
      `pod ${id} was half ${record.state === 'creating' ? 'made' : 'removed'}: it is gone`,
      {
        details: { field: 'pod', received: id },
      },
    );
  }
  const ended = record.state === 'exited' || record.state === 'failed' || record.state === 'created';
  if (ended && !holdsSomething(record)) return record;
  const exit = record.state === 'running' || record.state === 'paused' ? UNKNOWN_EXIT : record.exit;
  return finishPod(services, record, { exit, failure }, call);
}

const UNKNOWN_EXIT = { reason: 'unknown', exitCode: null, signal: null, stderrTail: '' } as const;

/**
 * The record as it is once nobody else is at it: of a pod that this process does not hold. One that another process holds is
 * answered as it stands.
 */
export async function settle(services: PodServices, record: PodRecord, call: CallOptions): Promise<PodRecord> {
  const { host, store, directories } = services;
  if (!(await look(host, record)).toSettle) return record;
  const path = podDirectories(directories, record.id).lock;
  try {
    const lock = await lockPod(host, path, record.id, `settle pod ${record.id}`, call.signal);
    return await underLock(lock, async () => settleLocked(services, await store.read(record.id, call), call));
  } catch (error) {
    if (hasCode(error, 'POD_BUSY')) return store.read(record.id, call);
    throw error;
  }
}

const LOCKED_TIMEOUT_MS = 60_000;

/** A body that has the pod's lock, and a record that nobody else is at. */
export async function withLock<T>(
  services: PodServices,
  id: string,
  purpose: string,
  options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number | undefined },
  body: (record: PodRecord, call: CallOptions) => Promise<T>,
): Promise<T> {
  const { host, store, directories } = services;
  return withDeadline(purpose, options.timeoutMs ?? LOCKED_TIMEOUT_MS, options.signal, async (call) => {
    await store.read(id, call);
    const lock = await lockPod(host, podDirectories(directories, id).lock, id, purpose, call.signal);
    return underLock(lock, async () => body(await settleLocked(services, await store.read(id, call), call), call));
  });
}
