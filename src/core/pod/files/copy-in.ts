import { lstat, readFile, realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { HyperplugError } from '../../errors.js';
import { explainSystemError } from '../../system-error.js';
import { pack } from '../../tar/pack.js';
import { GuestTar, isMissing } from './guest-tar.js';
import type { CopyMeans } from './handle-files.js';
import { hostTree } from './host-tree.js';
import { guestPath, hostPath } from './paths.js';
import { Tally } from './tally.js';
import type { CopyOptions, CopyReport } from './types.js';

/** What the agent takes at once. */
export const MAX_WHOLE_FILE_BYTES = 16 * 1024 * 1024;

/** See PodFiles.copyIn(). */
export async function copyIn(
  { files, exec }: CopyMeans,
  from: string,
  to: string,
  options: CopyOptions,
): Promise<CopyReport> {
  const source = hostPath(from, resolve(from));
  const target = guestPath(to);
  const tar = new GuestTar(exec, options);
  const { root, stats } = await found(source.path, options.followLink === true || source.slash);
  const isDirectory = stats.isDirectory();
  if ((source.slash || source.contents) && !isDirectory) throw failed(`${from}: expected a directory`);
  const exists = target.contents || (await tar.isDirectory(target.path));
  if (!exists && target.slash && !isDirectory) throw failed(`${to}: expected a directory of the pod, there is none`);
  const tally = new Tally();
  const put = (directory: string, name: string) => tar.extract(directory, pack(hostTree(root, name, tally)));
  try {
    if (exists) await put(target.path, source.contents ? '.' : source.name);
    else await put(target.parent, target.name);
    return tally.report;
  } catch (error) {
    if (!isMissing(error)) throw error;
    if (isDirectory || !stats.isFile() || stats.size > MAX_WHOLE_FILE_BYTES) {
      throw failed(
        `${from}: the guest has no tar, without which only files of at most ${MAX_WHOLE_FILE_BYTES} bytes can be copied`,
        error,
      );
    }
  }
  const { signal, timeoutMs, container } = options;
  const path = exists ? `${target.path}/${source.name}` : target.path;
  const content = await readFile(root).catch((error: unknown) => {
    throw explainSystemError(error, from);
  });
  await files.write(path, content, { signal, timeoutMs, mode: stats.mode & 0o7777, ...(container && { container }) });
  return { files: 1, directories: 0, links: 0, bytes: content.length, skipped: [] };
}

async function found(path: string, follow: boolean) {
  try {
    const root = follow ? await realpath(path) : path;
    return { root, stats: await lstat(root) };
  } catch (error) {
    throw explainSystemError(error, path);
  }
}

export function failed(what: string, cause?: unknown): HyperplugError {
  return new HyperplugError('POD_COPY_FAILED', what, cause === undefined ? {} : { cause });
}
