import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { identifyProcess, type ProcessIdentity } from 'hyperplug';

/** What we put into a VM's run directory, and nothing else is removed from it. */
const OURS = /^(?:qemu\.pid|qmp\.sock|stderr\.log|channel-\d+\.sock)$/;
const TAIL_BYTES = 4096;

export const pidPath = (runDir: string) => join(runDir, 'qemu.pid');
export const qmpPath = (runDir: string) => join(runDir, 'qmp.sock');
export const stderrPath = (runDir: string) => join(runDir, 'stderr.log');
export const channelPath = (runDir: string, at: number) => join(runDir, `channel-${at}.sock`);

/** Idempotent; a directory that is gone is no error. */
export async function removeFiles(runDir: string): Promise<void> {
  const names = await readdir(runDir).catch(() => []);
  await Promise.all(names.filter((name) => OURS.test(name)).map((name) => rm(join(runDir, name), { force: true })));
}

/** The QEMU that runs in this directory, by its pid file, if it still is one that was started for it. */
export async function runningIn(runDir: string): Promise<ProcessIdentity | undefined> {
  try {
    const pid = Number((await readFile(pidPath(runDir), 'utf8')).trim());
    const identity = Number.isSafeInteger(pid) && pid > 0 ? identifyProcess(pid) : undefined;
    // The pid may be another process's by now.
    const argv = identity && (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
    return argv?.includes(pidPath(runDir)) ? identity : undefined;
  } catch {
    return undefined;
  }
}

/** The end of what QEMU wrote to stderr. */
export function stderrTail(runDir: string): string {
  try {
    const path = stderrPath(runDir);
    const { size } = statSync(path);
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
    const fd = openSync(path, 'r');
    try {
      return tail
        .subarray(0, readSync(fd, tail, 0, tail.length, size - tail.length))
        .toString('utf8')
        .slice(-TAIL_BYTES);
    } finally {
      closeSync(fd);
    }
  } catch {
    return '';
  }
}
