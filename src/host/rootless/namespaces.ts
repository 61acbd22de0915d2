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

/**
 * Whether a process is in a user namespace made within this process's own: as of no other that is not in ours itself, the
 * kernel lets us see which it is (ptrace(2), access mode checking). Only where this process has no power over the machine's.
 */
export function isBelow(pid: number): boolean {
  const userns = (name: number | 'self') => readlinkSync(`/proc/${name}/ns/user`);
  try {
    return userns(pid) !== userns('self');
  } catch {
    return false;
  }
}

/** Processes of ours in a network namespace. */
export function processesIn(netns: string): readonly ProcessIdentity[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && netnsOf(Number(name)) === netns)
    .flatMap((name) => identifyProcess(Number(name)) ?? []);
}
