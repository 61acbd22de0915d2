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

export async function look(host: HostServices, record: PodRecord): Promise<PodLook> {
  const { state, failure, vm } = record;
  if (PASSING.includes(state)) {
    if (await host.alive(record.manager)) return { state, failure, toSettle: false };
    return { state: 'failed', failure: `the process that was ${state} it died`, toSettle: true };
  }
  if (state === 'running' || state === 'paused') {
    if (vm && (await host.alive(vm.process))) return { state, failure, toSettle: false };
    return { state: 'failed', failure: 'its VM was found gone', toSettle: true };
  }
  return { state, failure, toSettle: holdsSomething(record) };
}

export const holdsSomething = ({ nics, vm }: PodRecord): boolean => nics.length > 0 || vm !== null;
