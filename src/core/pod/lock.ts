import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { withDeadline } from '../calls.js';
import { HyperplugError, hasCode } from '../errors.js';
import type { HeldLock, HostServices } from '../host-services.js';

/** Long enough for a command that is just ending, short enough not to be taken for a hang. */
export const SHORT_LOCK_TIMEOUT_MS = 2_000;

/**
 * A pod is held by one process at a time: its agent channels take one client.
 * @throws POD_BUSY with the holder in the message.
 */
export async function lockPod(
  host: HostServices,
  path: string,
  id: string,
  purpose: string,
  signal: AbortSignal | undefined,
  timeoutMs = SHORT_LOCK_TIMEOUT_MS,
): Promise<HeldLock> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  try {
    return await withDeadline(`lock of pod ${id}`, timeoutMs, signal, (call) => host.lock(path, purpose, call.signal));
  } catch (error) {
    if (!hasCode(error, 'TIMEOUT')) throw error;
    throw new HyperplugError('POD_BUSY', `pod ${id} is held by another process: ${error.message}`, {
      cause: error,
      details: { ...error.details, field: 'pod', received: id },
    });
  }
}

/**
 * What `body` gives; the lock is dropped then. If the pod has gone meanwhile the lock's file goes, too: this process may have made
 * it again, and nobody else would remove it.
 */
export async function underLock<T>(lock: HeldLock | undefined, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (hasCode(error, 'POD_NOT_FOUND')) await lock?.release({ remove: true });
    throw error;
  } finally {
    await lock?.release();
  }
}
