import { withDeadline } from '../../calls.js';
import { hasCode } from '../../errors.js';
import type { PodManager } from '../pod-manager.js';
import type { ContainerRecord, PodRecord } from '../record.js';
import { wrong } from '../spec-errors.js';

const TIMEOUT_MS = 10_000;

/** By id or name. @throws POD_SPEC_INVALID */
export function containerOf({ containers }: PodRecord, wanted: string): ContainerRecord {
  const found = containers.find(({ id, name }) => id === wanted || name === wanted);
  if (found) return found;
  throw wrong(
    'container',
    `one of ${containers.map(({ name }) => name).join(', ') || 'none: the pod has no containers'}`,
    wanted,
  );
}

/**
 * What a container has written so far is in its files: taken from the guest where this process holds the pod, or nobody
 * does. Who else holds it takes it by itself.
 */
export async function refreshLog({ services, holds }: PodManager, id: string, container: string): Promise<void> {
  await withDeadline(`output of ${container}`, TIMEOUT_MS, undefined, async (call) => {
    const record = await services.store.read(id, call);
    if (record.state !== 'running') return;
    const held = holds.get(id);
    if (held) return held.supervisor?.collect(call, container);
    await holds.inTurn(id, call, async () => {
      const hold = await holds.obtain(id, call);
      try {
        await hold.supervisor?.collect(call, container);
      } finally {
        if (hold.users === 0 && !hold.kept) await holds.letGo(hold);
      }
    });
  }).catch((error: unknown) => {
    // What is there is read all the same.
    if (!hasCode(error, 'POD_BUSY', 'POD_NOT_RUNNING', 'POD_NOT_FOUND', 'TIMEOUT', 'AGENT_CLOSED', 'VM_ADOPT_FAILED'))
      throw error;
  });
}
