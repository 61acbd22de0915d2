import type { CallOptions } from '../../calls.js';
import type { PodStats } from '../pods-api.js';
import type { PodRecord } from '../record.js';
import type { PodServices } from '../services.js';
import type { PodHold } from './holds.js';

/** Of a pod that runs, whoever holds it; what its guest tells only where this process does. @throws HOST_IO. */
export async function podStats(
  { host }: PodServices,
  record: PodRecord,
  _hold: PodHold | undefined,
  _call: CallOptions,
): Promise<PodStats> {
  const process = record.vm?.process;
  const usage = process ? await host.usage(process) : { cpuMs: 0, memoryPssBytes: 0 };
  return { time: new Date().toISOString(), host: usage, guest: null, nics: [] };
}
