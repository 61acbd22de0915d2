import { existsSync } from 'node:fs';

/** The pid of the program whose test it is; its processes inherit it. */
export const OWNER_VARIABLE = 'HYPERPLUG_TEST_OWNER';

const LOOK_EVERY_MS = 2_000;
const LONGEST_LIFE_MS = 30 * 60_000;

/** Ends this process when nobody can want it any more: its directory or its test's process is gone, or after half an hour. */
export function endWithOwner(directory: string): void {
  const owner = process.env[OWNER_VARIABLE];
  const started = performance.now();
  setInterval(() => {
    const orphaned = !existsSync(directory) || (owner !== undefined && !existsSync(`/proc/${owner}`));
    if (orphaned || performance.now() - started > LONGEST_LIFE_MS) process.exit(0);
  }, LOOK_EVERY_MS).unref();
}
