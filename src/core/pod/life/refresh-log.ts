import { type CallOptions, withDeadline } from '../../calls.js';
import { hasCode } from '../../errors.js';
import type { PodManager } from '../pod-manager.js';
import type { ContainerRecord, PodRecord } from '../record.js';
import { wrong } from '../spec-errors.js';
import type { ContainerSupervisor } from './supervisor.js';

const TIMEOUT_MS = 10_000;
const NOT_OURS = [
  'POD_BUSY',
  'POD_NOT_RUNNING',
  'POD_NOT_FOUND',
  'TIMEOUT',
  'AGENT_CLOSED',
  'VM_ADOPT_FAILED',
  'VM_EXITED',
] as const;

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
export async function refreshLog(manager: PodManager, id: string, container: string): Promise<void> {
  await visitPod(manager, id, (supervisor, call) => supervisor.collect(call, container));
}

/**
 * Looks after the containers of a pod for a moment, where nobody else does: their ends are recorded, and what follows from
 * them is done. One that is in other hands, or has ended meanwhile, is left to them.
 */
export async function visitPod(
  { services, holds }: PodManager,
  id: string,
  body: (supervisor: ContainerSupervisor, call: CallOptions) => Promise<void>,
): Promise<void> {
  const visit = async (call: CallOptions) => {
    const record = await services.store.read(id, call);
    if (record.state !== 'running') return;
    const held = holds.get(id);
    if (held) return held.supervisor && body(held.supervisor, call);
    await holds.inTurn(id, call, async () => {
      const hold = await holds.obtain(id, call);
      try {
        if (hold.supervisor) await body(hold.supervisor, call);
      } finally {
        await holds.letGoUnused(hold);
      }
    });
  };
  await withDeadline(`containers of pod ${id}`, TIMEOUT_MS, undefined, visit).catch((error: unknown) => {
    if (!hasCode(error, ...NOT_OURS)) throw error;
  });
}
