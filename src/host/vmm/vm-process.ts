import { open } from 'node:fs/promises';
import type { ProcessIdentity } from '../../core/hypervisor.js';
import type { ConfinedChild } from '../own-child.js';
import { watchProcess } from '../process.js';

/** A hypervisor as its driver sees it, be it our child or adopted. */
export interface VmProcess {
  readonly identity: ProcessIdentity;
  /** Resolves when it has ended; codes are null where it is not our child. */
  readonly exited: Promise<{ readonly exitCode: number | null; readonly signal: string | null }>;
  /** What it wrote to stderr, the last 4 KiB. */
  stderrTail(): Promise<string>;
  /** Stops watching: this process may end before it. */
  release(): void;
}

const STDERR_TAIL_BYTES = 4096;

export function childProcess(child: ConfinedChild, stderrFile: string | undefined): VmProcess {
  return {
    identity: child.identity,
    exited: child.exited,
    stderrTail: async () => (stderrFile === undefined ? child.stderrTail() : fileTail(stderrFile)),
    release: () => child.unref(),
  };
}

/** @param others that end with it, a moment later: it has ended when they have. */
export function adoptedProcess(
  identity: ProcessIdentity,
  stderrFile: string,
  others: readonly ProcessIdentity[] = [],
): VmProcess {
  const watches = [identity, ...others].map(watchProcess);
  return {
    identity,
    exited: Promise.all(watches.map(({ gone }) => gone)).then(() => ({ exitCode: null, signal: null })),
    stderrTail: () => fileTail(stderrFile),
    release: () => {
      for (const watch of watches) watch.close();
    },
  };
}

async function fileTail(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const start = Math.max(0, size - STDERR_TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(STDERR_TAIL_BYTES), 0, STDERR_TAIL_BYTES, start);
    return buffer.subarray(0, bytesRead).toString('utf8');
  } catch {
    return '';
  }
}
