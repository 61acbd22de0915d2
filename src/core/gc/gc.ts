import { type CallOptions, throwIfAborted } from '../calls.js';
import { tidyLocks, tidyNetworks } from './networks.js';
import { tidyPods } from './pods.js';
import type { GcServices } from './services.js';
import { removeStrays } from './strays.js';
import { findTraces } from './traces.js';
import type { GcFinding, GcReport } from './types.js';

export interface GcRun {
  /** Looks, and changes nothing. */
  readonly dryRun: boolean;
  /** Records and directories alone, as at every start: what programs have to be asked for is not looked at. */
  readonly quick?: boolean;
}

/**
 * All that says it is ours, compared with the records and with what lives: what a dead process had under way is brought to
 * an end, what belongs to nothing is removed, everything else is left alone. Safe beside other processes on the same state:
 * nothing of a pod is touched without its lock, and whoever makes something has written its record before, under that lock.
 */
export async function collectGarbage(services: GcServices, run: GcRun, call: CallOptions): Promise<GcReport> {
  // What there is, before the records: whatever is seen here had a record by then, if it is not an orphan.
  const traces = await findTraces(services, run.quick ?? false, call);
  throwIfAborted(call.signal, 'gc');
  const { findings, known } = await tidyPods(services, traces, run, call);
  const strays: GcFinding[] = await removeStrays(services, traces, known, run, call);
  // Before the networks, which take their lock.
  const locks = await tidyLocks(services, run, traces.locks, call);
  const networks = run.quick ? [] : await tidyNetworks(services, run, call);
  return { dryRun: run.dryRun, findings: [...findings, ...strays, ...locks, ...networks] };
}
