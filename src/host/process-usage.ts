import { readdir, readFile } from 'node:fs/promises';
import type { ProcessUsage } from '../core/host-services.js';
import type { ProcessIdentity } from '../core/hypervisor.js';
import { sameProcess } from './process.js';

/** USER_HZ, which every architecture's user-space interface has at 100 (times(2), proc_pid_stat(5)). */
const TICKS_PER_SECOND = 100;
const MAX_PROCESSES = 1024;

/**
 * Of a process and those that it started (User Mode Linux has one for each address space of its guest): time on the CPU,
 * that of ended children too, and proportional set size. One that has gone counts nothing.
 */
export async function processUsage(identity: ProcessIdentity): Promise<ProcessUsage> {
  if (!sameProcess(identity)) return { cpuMs: 0, memoryPssBytes: 0 };
  const pids = await family(identity.pid);
  const each = await Promise.all(pids.map(async (pid) => ({ cpuMs: await cpuMs(pid), pss: await pssBytes(pid) })));
  return {
    cpuMs: each.reduce((sum, one) => sum + one.cpuMs, 0),
    memoryPssBytes: each.reduce((sum, one) => sum + one.pss, 0),
  };
}

/** proc_pid_task_children: threads' children, theirs, and so on. */
async function family(pid: number): Promise<number[]> {
  const found = [pid];
  for (let index = 0; index < found.length && found.length < MAX_PROCESSES; index++) {
    const tasks = await readdir(`/proc/${found[index]}/task`).catch(() => []);
    for (const task of tasks) {
      const text = await read(`/proc/${found[index]}/task/${task}/children`);
      for (const child of text.split(/\s+/).filter(Boolean).map(Number)) if (!found.includes(child)) found.push(child);
    }
  }
  return found;
}

async function cpuMs(pid: number): Promise<number> {
  const stat = await read(`/proc/${pid}/stat`);
  // utime, stime, cutime and cstime are fields 14 to 17; the name (field 2) may hold anything.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 1)
    .trim()
    .split(/\s+/);
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + (Number(field) || 0), 0);
  return Math.round((ticks * 1000) / TICKS_PER_SECOND);
}

async function pssBytes(pid: number): Promise<number> {
  const text = await read(`/proc/${pid}/smaps_rollup`);
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}

const read = (path: string) => readFile(path, 'latin1').catch(() => '');
