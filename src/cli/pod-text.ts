import type { PodDetails, PodEvent } from '../core/pod/pods-api.js';
import type { PodStatus } from '../core/pod/types.js';
import { portText } from './network-text.js';
import { age } from './text.js';

export const POD_HEADER = ['POD', 'STATE', 'AGE', 'DRIVER', 'CPUS', 'MEMORY', 'ADDRESSES', 'PORTS'];

export function podRow(pod: PodStatus): string[] {
  return [
    pod.id,
    pod.state,
    age(pod.createdAt, Date.now()),
    pod.hypervisor,
    String(pod.cpus),
    `${pod.memoryMib} MiB`,
    pod.addresses.join(', ') || '-',
    pod.ports.map(portText).join(', ') || '-',
  ];
}

/** `exited (shutdown)`, `failed: its words` */
export function stateText({ state, exit, failure }: PodDetails): string {
  if (failure !== null) return `${state}: ${failure}`;
  return exit === null ? state : `${state} (${exit.reason})`;
}

/** One line: time, pod, what happened, and what of it. */
export function eventText({ time, pod, type, data }: PodEvent): string {
  const facts = Object.entries(data).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return [time, pod, type, ...facts].join(' ');
}

/** `512 B`, `1.5 MiB`: three digits at most. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
