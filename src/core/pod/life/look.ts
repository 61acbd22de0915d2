import type { HostServices } from '../../host-services.js';
import type { PodRecord } from '../record.js';
import type { PodState } from '../types.js';

/** What a record comes to, seen with what lives. */
export interface PodLook {
  readonly state: PodState;
  readonly failure: string | null;
  /** Nobody is at it, and it holds what only one that runs may hold, or says that it runs and does not. */
  readonly toSettle: boolean;
}

const PASSING: readonly PodState[] = ['creating', 'starting', 'stopping', 'removing'];

/**
 * `unheld`: nobody else has the pod's lock. Whoever is at a pod has it, so that one in a passing state was given up then, even
 * if its process lives: something could not be undone.
 */
export async function look(host: HostServices, record: PodRecord, unheld = false): Promise<PodLook> {
  const { state, failure, vm } = record;
  if (isPassing(record)) {
    const alive = await host.alive(record.manager);
    if (alive && !unheld) return { state, failure, toSettle: false };
    const why = alive ? 'gave up, and could not undo all' : 'died';
    return { state: 'failed', failure: `the process that was ${state} it ${why}`, toSettle: true };
  }
  if (state === 'running' || state === 'paused') {
    const alive = vm !== null && (await host.alive(vm.process));
    if (alive && !isLost(host, record)) return { state, failure, toSettle: false };
    return { state: 'failed', failure: alive ? LOST : 'its VM was found gone', toSettle: true };
  }
  return { state, failure, toSettle: holdsSomething(record) };
}

const LOST = 'the namespaces of the rootless network that it ran in have ended';

/** Only who is in a session himself can tell that it is another. */
const isLost = (host: HostServices, { session }: PodRecord): boolean =>
  host.session !== undefined && typeof session === 'string' && session !== host.session;

export const isPassing = ({ state }: PodRecord): boolean => PASSING.includes(state);

export const holdsSomething = ({ nics, vm }: PodRecord): boolean => nics.length > 0 || vm !== null;
