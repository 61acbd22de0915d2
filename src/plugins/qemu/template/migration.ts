import type { CallOptions } from '../../../core/calls.js';
import type { QmpClient } from '../qmp/client.js';
import type { QmpEvent } from '../qmp/events.js';

/**
 * qapi/migration.json: memory that is shared is not in the stream, and each change of the status is an event. Both sides must
 * have the first.
 */
export const MIGRATION_CAPABILITIES = {
  capabilities: ['x-ignore-shared', 'events'].map((capability) => ({ capability, state: true })),
};

type Migration = Extract<QmpEvent, { name: 'MIGRATION' }>;

const ENDS = new Set(['completed', 'failed', 'cancelled']);

/** How the migration ended. Call it before the command that begins one. @throws QMP_CLOSED, TIMEOUT, ABORTED. */
export async function migrationEnd(qmp: QmpClient, call: CallOptions): Promise<string> {
  const isEnd = (event: QmpEvent): event is Migration => event.name === 'MIGRATION' && ENDS.has(event.data.status);
  return (await qmp.waitEvent(isEnd, call)).data.status;
}
