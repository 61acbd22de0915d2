import type { CallOptions } from '../calls.js';
import { destroyPod } from '../pod/destroy.js';
import type { PodRecord } from '../pod/record.js';
import type { PodServices } from '../pod/services.js';
import type { PodVerdict } from './services.js';

/** What a record comes to, seen with what lives. */
export async function podVerdict({ host }: PodServices, record: PodRecord): Promise<PodVerdict> {
  const { state, keep, manager, vm } = record;
  const managed = await host.alive(manager);
  const runs = vm !== null && (await host.alive(vm.process));
  const busy = (why: string): PodVerdict => ({ state: 'busy', why, removes: false });
  if (state !== 'running') {
    if (managed) return busy(`process ${manager.pid} is ${state} it`);
    return { state: 'settle', why: `the process that was ${state} it died`, removes: true };
  }
  if (keep) {
    const why = runs ? 'it runs' : 'its VM has ended; rm removes it';
    return { state: runs ? 'lives' : 'rests', why, removes: false };
  }
  if (managed) return { state: runs ? 'lives' : 'busy', why: `process ${manager.pid} has it`, removes: false };
  return { state: 'settle', why: 'the process that had it died, and it was not to be kept', removes: true };
}

/** The lock of the pod is held. */
export async function settlePod(services: PodServices, record: PodRecord, call: CallOptions): Promise<void> {
  const { state } = await podVerdict(services, record);
  if (state === 'settle') await destroyPod(services, record, call);
}
