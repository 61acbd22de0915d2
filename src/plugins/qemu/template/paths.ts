import { unlinkSync } from 'node:fs';
import { readlink, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * A template's directory:
 *
 *     memory   the guest's, sparse, as long as that is large
 *     state    of the devices: QEMU's migration stream without the memory
 */
export const memoryFile = (directory: string) => join(directory, 'memory');
export const stateFile = (directory: string) => join(directory, 'state');

/** A link in the run directory of a source says where it saves to, as long as it has not saved all. */
const unsavedLink = (runDir: string) => join(runDir, 'template');

export async function markUnsaved(runDir: string, directory: string): Promise<void> {
  await symlink(directory, unsavedLink(runDir));
}

/** Synchronous, so that nothing can come between the last look at the VM and this. */
export function markSaved(runDir: string): void {
  unlinkSync(unsavedLink(runDir));
}

/** Idempotent. */
export async function removeUnsaved(runDir: string): Promise<void> {
  const link = unsavedLink(runDir);
  const directory = await readlink(link).catch(() => undefined);
  if (directory === undefined) return;
  for (const path of [memoryFile(directory), stateFile(directory), link]) await rm(path, { force: true });
}
