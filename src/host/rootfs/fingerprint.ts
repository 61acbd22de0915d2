import { createHash } from 'node:crypto';
import { lstat, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfAborted } from '../../core/calls.js';
import { invalid, sourceError } from './errors.js';
import type { TreeLimits } from './tree.js';

/**
 * `sha256:…` over all that a tree says of itself without its contents being read: names, kinds, owners, sizes, and the times
 * of change, which no program can set (ctime). @throws ROOTFS_NOT_FOUND, ROOTFS_INVALID (larger than `limits`).
 */
export async function fingerprint(path: string, limits: TreeLimits, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  let entries = 0;
  let bytes = 0;
  const visit = async (folder: string, below: string): Promise<void> => {
    throwIfAborted(signal, `reading ${path}`);
    for (const name of (await readdir(folder)).sort()) {
      const full = join(folder, name);
      const found = await lstat(full, { bigint: true });
      entries += 1;
      if (found.isFile()) bytes += Number(found.size);
      if (entries > limits.maxEntries) throw invalid(`${path}: more than ${limits.maxEntries} entries`);
      if (bytes > limits.maxBytes) throw invalid(`${path}: more than ${limits.maxBytes} bytes`);
      const { mode, uid, gid, size, mtimeNs, ctimeNs, ino, rdev } = found;
      const target = found.isSymbolicLink() ? await readlink(full) : '';
      hash.update(`${below}${name}\0${mode} ${uid} ${gid} ${size} ${mtimeNs} ${ctimeNs} ${ino} ${rdev}\0${target}\0`);
      if (found.isDirectory()) await visit(full, `${below}${name}/`);
    }
  };
  try {
    const top = await stat(path, { bigint: true });
    if (!top.isDirectory()) throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' });
    hash.update(`${path}\0${top.mode} ${top.uid} ${top.gid} ${top.dev}\0`);
    await visit(path, '');
    return `sha256:${hash.digest('hex')}`;
  } catch (error) {
    throw sourceError(path, error);
  }
}
