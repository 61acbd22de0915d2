import { type CallOptions, withDeadline } from '../../calls.js';
import type { GuestStats } from '../../container.js';
import type { PodStats } from '../pods-api.js';
import type { PodRecord } from '../record.js';
import type { PodServices } from '../services.js';
import type { PodHold } from './holds.js';

/** A guest that does not answer is not waited for: what the host knows is told. */
const GUEST_TIMEOUT_MS = 5_000;

/** Of a pod that runs, whoever holds it; what its guest tells only where this process does. */
export async function podStats(
  { host, backend }: PodServices,
  record: PodRecord,
  hold: PodHold | undefined,
  call: CallOptions,
): Promise<PodStats> {
  const process = record.vm?.process;
  const [usage, guest] = await Promise.all([
    process ? host.usage(process) : { cpuMs: 0, memoryPssBytes: 0 },
    hold?.table.record.state === 'running' ? guestStats(hold, call) : undefined,
  ]);
  const nics = await Promise.all(
    record.nics.flatMap(({ id, mac, host: made }) => {
      if (!made) return [];
      return [
        (async () => {
          const counted = await backend.counters?.(made, call);
          // The hypervisor's own network counts nothing on the host.
          const told = counted ?? guest?.nics.find((nic) => nic.mac === mac);
          const { receivedBytes = 0, receivedPackets = 0, sentBytes = 0, sentPackets = 0 } = told ?? {};
          return { id, receivedBytes, receivedPackets, sentBytes, sentPackets };
        })(),
      ];
    }),
  );
  return { time: new Date().toISOString(), host: usage, guest: guest ? summary(guest) : null, nics };
}

async function guestStats({ vm }: PodHold, call: CallOptions): Promise<GuestStats | undefined> {
  if (!vm.session.features.stats) return undefined;
  return withDeadline('counters of the guest', GUEST_TIMEOUT_MS, call.signal, (limited) =>
    vm.session.readStats(limited),
  ).catch((error: unknown) => {
    if (call.signal.aborted) throw error;
    return undefined;
  });
}

function summary({ uptimeMs, cpu, memory, processCount }: GuestStats): NonNullable<PodStats['guest']> {
  return {
    uptimeMs,
    cpuMs: cpu.userMs + cpu.systemMs,
    memoryTotalBytes: memory.totalBytes,
    memoryAvailableBytes: memory.availableBytes,
    processes: processCount,
  };
}
