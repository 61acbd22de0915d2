import type { PodStats } from './pods-api.js';

/** What happened between two readings; numbers of a second. */
export interface PodRates {
  /** Of the host, as the hypervisor uses it; 100 is one CPU. */
  readonly hostCpuPercent: number;
  /** As the guest tells; null: it cannot. */
  readonly guestCpuPercent: number | null;
  readonly receivedBytesPerSecond: number;
  readonly sentBytesPerSecond: number;
}

/** Counters that went backwards (a NIC is gone, the pod was started anew) count from 0. */
export function podRates(before: PodStats, after: PodStats): PodRates {
  const ms = Math.max(1, Date.parse(after.time) - Date.parse(before.time));
  const grown = (was: number, is: number) => (is >= was ? is - was : is);
  const percent = (was: number, is: number) => (grown(was, is) / ms) * 100;
  const perSecond = (key: 'receivedBytes' | 'sentBytes') =>
    after.nics.reduce((sum, nic) => {
      const was = before.nics.find(({ id }) => id === nic.id)?.[key] ?? 0;
      return sum + (grown(was, nic[key]) / ms) * 1000;
    }, 0);
  return {
    hostCpuPercent: percent(before.host.cpuMs, after.host.cpuMs),
    guestCpuPercent: before.guest && after.guest ? percent(before.guest.cpuMs, after.guest.cpuMs) : null,
    receivedBytesPerSecond: perSecond('receivedBytes'),
    sentBytesPerSecond: perSecond('sentBytes'),
  };
}
