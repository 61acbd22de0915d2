import { readdirSync } from 'node:fs';
import type { GcHost } from '../core/gc/services.js';
import { readLockHolder } from './lock.js';
import { identifyProcess, processArgv } from './process.js';

/** The real one. */
export const gcHost: GcHost = {
  lockHolder: (path) => readLockHolder(path)?.process,
  processesNaming(path) {
    const pids = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
    return pids.flatMap((pid) => {
      if (pid === process.pid || !processArgv(pid)?.some((word) => names(word, path))) return [];
      return identifyProcess(pid) ?? [];
    });
  },
};

/** The path itself or one below it, anywhere in the word; not one that only begins alike. */
function names(word: string, path: string): boolean {
  for (let at = word.indexOf(path); at >= 0; at = word.indexOf(path, at + 1)) {
    const next = word[at + path.length];
    if (next === undefined || !/[A-Za-z0-9._-]/.test(next)) return true;
  }
  return false;
}
