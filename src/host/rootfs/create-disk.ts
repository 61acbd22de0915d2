import { randomBytes } from 'node:crypto';
import { link, open, rm, stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import type { DiskRequest, RootImageOptions } from '../../core/rootfs.js';
import { explainSystemError } from '../../core/system-error.js';
import { runCommand } from '../command.js';
import type { ToolProvider } from '../tools.js';
import { invalid } from './errors.js';

const MKFS_TIMEOUT_MS = 5 * 60_000;
/** ext4 with a journal has room for little below this. */
const MIN_SIZE_MIB = 4;
const MAX_SIZE_MIB = 16 * 1024 * 1024;

/** A sparse file, made beside its place and linked there when it is whole: who comes first wins. */
export async function createDisk(
  { path, sizeMib, fsType }: DiskRequest,
  tools: ToolProvider,
  options: RootImageOptions,
): Promise<void> {
  if (!isAbsolute(path)) throw new TypeError(`path: expected an absolute path, got ${path}`);
  if (!Number.isInteger(sizeMib) || sizeMib < MIN_SIZE_MIB || sizeMib > MAX_SIZE_MIB) {
    throw invalid(`sizeMib: expected an integer from ${MIN_SIZE_MIB} to ${MAX_SIZE_MIB}, got ${sizeMib}`, {
      field: 'sizeMib',
    });
  }
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    if (await exists(path)) return;
    const { path: program, env } = await tools.locate(`mkfs.${fsType}`, options);
    await using file = await open(temporary, 'wx', 0o600);
    await file.truncate(sizeMib * 1024 * 1024);
    // lazy_*: the guest would write for minutes after the first mount. root_owner: whoever made the file.
    const settings = ['-q', '-F', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0'];
    await runCommand([program, ...settings, temporary], { signal: options.signal, env, timeoutMs: MKFS_TIMEOUT_MS });
    await file.sync();
    await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } catch (error) {
    throw explainSystemError(error, `disk ${path}`);
  } finally {
    await rm(temporary, { force: true });
  }
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
