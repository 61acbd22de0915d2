import type { CallOptions } from '../calls.js';
import { destroyPod } from '../pod/destroy.js';
import { isPassing, look } from '../pod/life/look.js';
import { settleLocked } from '../pod/life/settle.js';
import type { PodRecord } from '../pod/record.js';
import type { PodServices } from '../pod/services.js';
import type { PodVerdict } from './services.js';

/** What a record comes to, seen with what lives. `unheld`: nobody else has its lock. */
export async function podVerdict({ host }: PodServices, record: PodRecord, unheld: boolean): Promise<PodVerdict> {
  const { keep, manager } = record;
  const { state, failure, toSettle } = await look(host, record, unheld);
  const runs = state === 'running' || state === 'paused';
  if (!keep) {
    const alive = await host.alive(manager);
    if (alive && isPassing(record) && toSettle) return { state: 'settle', why: failure ?? '', removes: true };
    if (alive) return { state: runs ? 'lives' : 'busy', why: `process ${manager.pid} has it`, removes: false };
    return { state: 'settle', why: 'the process that had it died, and it was not to be kept', removes: true };
  }
  if (toSettle) {
    const removes = record.state === 'creating' || record.state === 'removing';
    return { state: 'settle', why: failure ?? 'it holds what only one that runs may hold', removes };
  }
  if (state === 'running') return { state: 'lives', why: 'it runs', removes: false };
  // Its guest cannot be asked until it is resumed.
  if (state === 'paused') return { state: 'rests', why: 'it is paused', removes: false };
  if (state === 'created' || state === 'exited' || state === 'failed') {
    return {
      state: 'rests',
      why: state === 'created' ? 'it has not run yet' : `it has ${state}; rm removes it`,
      removes: false,
    };
  }
  return { state: 'busy', why: `process ${manager.pid} is ${state} it`, removes: false };
}

/** The lock of the pod is held. */
export async function settlePod(services: PodServices, record: PodRecord, call: CallOptions): Promise<void> {
  const { state, removes } = await podVerdict(services, record, true);
  if (state !== 'settle') return;
  await (removes ? destroyPod(services, record, call) : settleLocked(services, record, call));
}
