import { readFileSync } from 'node:fs';

/** Proportional set size: what is shared is counted by parts. */
export function pssMib(pid: number): number {
  const kib = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1];
  return Number(kib) / 1024;
}
