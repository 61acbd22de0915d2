import { constants, type Stats } from 'node:fs';
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { explainSystemError } from '../../system-error.js';
import type { TarType } from '../../tar/header.js';
import type { PackEntry } from '../../tar/pack.js';
import { isLossy, type Tally } from './tally.js';

const CHUNK_BYTES = 64 * 1024;

/**
 * A tree of the host as entries of an archive, in which its root is called `name` (`.`: what is in it, without itself).
 * Links are not followed. @throws HOST_IO
 */
export async function* hostTree(root: string, name: string, tally: Tally): AsyncGenerator<PackEntry, void, undefined> {
  try {
    yield* walk(root, name, tally);
  } catch (error) {
    throw explainSystemError(error, root);
  }
}

async function* walk(path: string, name: string, tally: Tally): AsyncGenerator<PackEntry, void, undefined> {
  const stats = await lstat(path);
  const type = typeOf(stats);
  const target = type === 'symlink' ? await readlink(path) : '';
  if (type === undefined || isLossy(target)) {
    tally.skip(path);
    return;
  }
  const entry = {
    path: name,
    type,
    mode: stats.mode & 0o7777,
    sizeBytes: type === 'file' ? stats.size : 0,
    modifiedAt: stats.mtimeMs / 1000,
    uid: 0,
    gid: 0,
    target,
  };
  if (name !== '.') {
    tally.count(type, entry.sizeBytes);
    yield type === 'file' ? { ...entry, content: contentOf(path) } : entry;
  }
  if (type !== 'directory') return;
  for (const child of (await readdir(path)).sort()) {
    if (isLossy(child)) tally.skip(join(path, child));
    else yield* walk(join(path, child), name === '.' ? child : `${name}/${child}`, tally);
  }
}

function typeOf(stats: Stats): TarType | undefined {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'symlink' : undefined;
}

async function* contentOf(path: string): AsyncGenerator<Buffer, void, undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
