import type { CallOptions } from '../../../core/calls.js';
import { staleTemplate } from '../../../core/vm/check-template.js';
import { FD } from '../machine-plan.js';
import type { QmpClient } from '../qmp/client.js';
import { MIGRATION_CAPABILITIES, migrationEnd } from './migration.js';

/**
 * Makes a QEMU that was started to wait (-incoming defer) go on where the template's stopped. It runs when this resolves.
 * @throws TEMPLATE_STALE, or QMP_CLOSED: QEMU ends when the state is not its own; QMP_ERROR, TIMEOUT, ABORTED.
 */
export async function restore(directory: string, qmp: QmpClient, call: CallOptions): Promise<void> {
  const waiting = new AbortController();
  const signal = AbortSignal.any([call.signal, waiting.signal]);
  const resumed = qmp.waitEvent((event): event is Resume => event.name === 'RESUME', { signal });
  const end = migrationEnd(qmp, { signal });
  for (const promise of [resumed, end]) promise.catch(() => {});
  try {
    // In one go: QEMU takes them in order.
    await Promise.all([
      qmp.execute('migrate-set-capabilities', MIGRATION_CAPABILITIES, call),
      qmp.execute('migrate-incoming', { uri: `fd:${FD.state}` }, call),
    ]);
    const status = await end;
    if (status !== 'completed') throw staleTemplate(directory, `QEMU cannot go on from it (${status})`);
    await resumed;
  } finally {
    waiting.abort();
  }
}

type Resume = { readonly name: 'RESUME'; readonly data: Record<string, never> };
