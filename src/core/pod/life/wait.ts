import type { CallOptions } from '../../calls.js';
import { hasCode } from '../../errors.js';
import { Bell } from '../events/follow.js';
import type { Wake } from '../events/wake.js';
import type { PodRecord } from '../record.js';
import type { PodServices } from '../services.js';
import { look, type PodLook } from './look.js';

const VISIT_INTERVAL_MS = 2_000;

export interface Ended {
  readonly record: PodRecord;
  readonly look: PodLook;
}

/**
 * Until no VM of the pod runs: woken by the log of events and by the end of the VM's process. `settle` brings to an end what
 * nobody is at; `visit` looks after the containers of one that runs, where nobody does.
 */
export async function waitEnd(
  services: PodServices,
  wake: Wake,
  id: string,
  settle: (record: PodRecord, call: CallOptions) => Promise<PodRecord>,
  visit: (record: PodRecord) => Promise<void>,
  call: CallOptions,
): Promise<Ended> {
  const { store, host } = services;
  // What is not there is not waited for, and nothing is to be undone yet.
  let last = await store.read(id, call);
  const { startedAt } = last;
  const bell = new Bell(call.signal);
  const stop = wake.listen(() => bell.ring());
  const watches = new AbortController();
  let again: NodeJS.Timeout | undefined;
  let watched: PodRecord['vm'] = null;
  try {
    for (;;) {
      bell.reset();
      last = await store.read(id, call);
      const record = await settle(last, call);
      const seen = await look(host, record);
      // Started again meanwhile: the end that was waited for has been.
      if (isOver(seen) || record.startedAt !== startedAt) return { record, look: seen };
      // Its containers end unseen where nobody holds it, and with the last of them the pod shall.
      if (record.containers.some(({ process }) => process !== null)) {
        await visit(record).catch(() => {});
        again = setTimeout(() => bell.ring(), VISIT_INTERVAL_MS);
      }
      if (record.vm && record.vm.process.pid !== watched?.process.pid) {
        watched = record.vm;
        const { process } = record.vm;
        host.gone(process, watches).then(
          () => bell.ring(),
          () => {},
        );
      }
      await bell.heard();
      clearTimeout(again);
    }
  } catch (error) {
    if (!hasCode(error, 'POD_NOT_FOUND')) throw error;
    // Removed, with what ran of it.
    return { record: last, look: { state: 'exited', failure: null, toSettle: false } };
  } finally {
    clearTimeout(again);
    stop();
    bell.end();
    watches.abort();
  }
}

const isOver = ({ state, toSettle }: PodLook) =>
  !toSettle && (state === 'created' || state === 'exited' || state === 'failed');
