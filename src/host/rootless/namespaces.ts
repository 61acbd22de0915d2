import { readdirSync, readlinkSync } from 'node:fs';
import type { ProcessIdentity } from '../../core/hypervisor.js';
import { identifyProcess } from '../process.js';

/** The network namespace of a process, as `net:[4026532534]`; undefined: it is gone, or not ours to look at. */
export function netnsOf(pid: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

/** Processes of ours in a network namespace. */
export function processesIn(netns: string): readonly ProcessIdentity[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && netnsOf(Number(name)) === netns)
    .flatMap((name) => identifyProcess(Number(name)) ?? []);
}
