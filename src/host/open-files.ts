import { readdir, stat } from 'node:fs/promises';

/** A file, whatever its names. */
export const fileKey = ({ dev, ino }: { readonly dev: number; readonly ino: number }): string => `${dev}:${ino}`;

/** What processes of this machine have open, as far as this user may see (proc(5), fd/). */
export async function openFiles(): Promise<ReadonlySet<string>> {
  const open = new Set<string>();
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const folder = `/proc/${pid}/fd`;
    for (const fd of await readdir(folder).catch(() => [])) {
      // Closed meanwhile, or somebody else's.
      const found = await stat(`${folder}/${fd}`).catch(() => undefined);
      if (found?.isFile()) open.add(fileKey(found));
    }
  }
  return open;
}
