import { type CallOptions, raceSignal } from '../../calls.js';
import type { Vm } from '../../vm/vm.js';
import type { NicTable } from '../nic-table.js';
import { completeLog } from '../spec-parts/log.js';
import { collectLog, containerLogDirectory } from './container-logs.js';

/** Each gets its stop signal; resolves when all have ended, their codes are recorded and what they wrote is kept. */
export async function endContainers({ session }: Vm, table: NicTable, call: CallOptions): Promise<void> {
  const waiting = new Set(table.record.containers.filter(({ process }) => process !== null).map(({ id }) => id));
  if (waiting.size === 0) return;
  let done = () => {};
  const ended = new Promise<void>((resolve) => {
    done = resolve;
  });
  const off = session.onContainerExit(({ container }) => {
    waiting.delete(container);
    if (waiting.size === 0) done();
  });
  try {
    for (const { id, state } of await session.listContainers(call)) {
      if (state !== 'running') waiting.delete(id);
    }
    const signalled = table.record.containers.filter(({ id }) => waiting.has(id));
    if (waiting.size === 0) done();
    // One that ended meanwhile is told as refused.
    await Promise.allSettled(signalled.map(({ id, stopSignal }) => session.signalContainer(id, stopSignal, call)));
    await raceSignal(ended, call.signal, 'end of its containers');
  } finally {
    off();
    await recordEnds(session, table, call).catch(() => {});
  }
}

async function recordEnds(session: Vm['session'], table: NicTable, call: CallOptions): Promise<void> {
  const limited = call.signal.aborted ? { signal: AbortSignal.timeout(2_000) } : call;
  const guests = new Map((await session.listContainers(limited)).map((each) => [each.id, each]));
  const finishedAt = new Date().toISOString();
  const ended = table.record.containers.filter(
    ({ id, state }) => state === 'running' && guests.get(id)?.state === 'exited',
  );
  const { id: pod, dataDir, startedAt, createdAt, spec } = table.record;
  if (ended.length > 0) {
    await table.update(
      (now) => ({
        ...now,
        containers: now.containers.map((each) =>
          ended.some(({ id }) => id === each.id)
            ? { ...each, state: 'exited', exitCode: guests.get(each.id)?.exitCode ?? null, finishedAt }
            : each,
        ),
      }),
      limited,
      ended.map(({ id }) => ({
        pod,
        type: 'container-exited',
        data: { container: id, exitCode: guests.get(id)?.exitCode ?? null },
      })),
    );
  }
  const log = completeLog((spec as { log?: Parameters<typeof completeLog>[0] } | null)?.log);
  const generation = Date.parse(startedAt ?? createdAt);
  for (const { id, process } of table.record.containers) {
    if (process) await collectLog(session, id, containerLogDirectory(dataDir, id), generation, log, limited);
  }
}
