import { constants } from 'node:fs';
import { chmod, link, lstat, lutimes, mkdir, open, symlink, unlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperplugError } from '../../errors.js';
import type { UnpackedEntry } from '../../tar/unpack.js';
import { isLossy, Tally } from './tally.js';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
/** Without setuid, setgid and sticky: they would give a guest's program our user's rights. */
const PERMISSIONS = 0o777;

export interface ExtractLimits {
  readonly maxBytes: number;
  readonly maxEntries: number;
}

/**
 * Writes what a guest sent below one directory of the host, and nowhere else: every directory on the way is looked at
 * without following links, and files are made anew, never written through a name that is there.
 */
export class HostExtractor {
  readonly tally = new Tally();
  /** Relative paths of directories that were seen to be directories. None of them is ever replaced. */
  readonly #directories = new Set<string>(['']);
  /** Relative paths of the files made here: hard links may lead to them alone. */
  readonly #files = new Set<string>();
  /** Directories made here, outer ones first, with what they shall have. */
  readonly #made = new Map<string, { readonly mode: number; readonly modifiedAt: number }>();

  constructor(
    private readonly root: string,
    private readonly limits: ExtractLimits,
  ) {}

  /** `path`: of the entry's parts, those below the root. @throws POD_COPY_FAILED, and what the kernel says. */
  async put(path: readonly string[], entry: UnpackedEntry, linked: readonly string[]): Promise<void> {
    if (this.tally.seen >= this.limits.maxEntries)
      throw failed(`more than ${this.limits.maxEntries} files (maxEntries)`);
    const relative = path.join('/');
    const absolute = join(this.root, relative);
    const isFile = entry.type !== 'fifo' && entry.type !== 'character-device' && entry.type !== 'block-device';
    if (!isFile || isLossy(entry.path) || isLossy(entry.target)) {
      this.tally.skip(entry.path);
      return;
    }
    await this.#parents(path.slice(0, -1));
    if (entry.type === 'directory') {
      await this.#directory(path);
      const { mode, modifiedAt } = entry;
      if (this.#made.has(absolute)) this.#made.set(absolute, { mode: mode & PERMISSIONS, modifiedAt });
    } else {
      if (this.#directories.has(relative)) throw failed(`${entry.path}: expected a directory, which it was before`);
      await this.#clear(absolute, entry.path);
      this.#files.delete(relative);
      if (entry.type === 'symlink') {
        await symlink(entry.target, absolute);
        await lutimes(absolute, entry.modifiedAt, entry.modifiedAt);
      } else if (entry.type === 'hardlink') {
        await this.#link(linked.join('/'), absolute, entry);
        this.#files.add(relative);
      } else {
        await this.#file(absolute, entry);
        this.#files.add(relative);
      }
    }
    this.tally.count(entry.type, entry.sizeBytes);
  }

  /** Modes and times of directories, which writing into them would change; the innermost first. */
  async finish(): Promise<void> {
    for (const [path, { mode, modifiedAt }] of [...this.#made].reverse()) {
      await chmod(path, mode);
      await utimes(path, modifiedAt, modifiedAt);
    }
  }

  async #parents(path: readonly string[]): Promise<void> {
    for (let depth = 1; depth <= path.length; depth++) {
      if (!this.#directories.has(path.slice(0, depth).join('/'))) await this.#directory(path.slice(0, depth));
    }
  }

  async #directory(path: readonly string[]): Promise<void> {
    const relative = path.join('/');
    if (this.#directories.has(relative)) return;
    const absolute = join(this.root, relative);
    const found = await lstat(absolute).catch(missing);
    if (found && !found.isDirectory()) {
      const what = found.isSymbolicLink() ? 'a symbolic link, which is not followed' : 'a file';
      throw failed(`${absolute}: expected a directory, found ${what}`);
    }
    if (!found) {
      await mkdir(absolute, 0o700);
      this.#made.set(absolute, { mode: 0o755, modifiedAt: Date.now() / 1000 });
    }
    this.#directories.add(relative);
  }

  async #clear(absolute: string, name: string): Promise<void> {
    const found = await lstat(absolute).catch(missing);
    if (found?.isDirectory()) throw failed(`${name}: ${absolute} is a directory already`);
    if (found) await unlink(absolute);
  }

  async #link(target: string, absolute: string, entry: UnpackedEntry): Promise<void> {
    if (!this.#files.has(target))
      throw failed(`${entry.path}: a hard link to ${entry.target}, which is not a file of it`);
    await link(join(this.root, target), absolute);
  }

  async #file(absolute: string, entry: UnpackedEntry): Promise<void> {
    if (this.tally.bytes + entry.sizeBytes > this.limits.maxBytes) {
      throw failed(`more than ${this.limits.maxBytes} bytes (maxBytes)`);
    }
    const file = await open(absolute, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      for await (const chunk of entry.content) await file.writeFile(chunk);
      await file.chmod(entry.mode & PERMISSIONS);
      await file.utimes(entry.modifiedAt, entry.modifiedAt);
    } finally {
      await file.close();
    }
  }
}

function failed(what: string): HyperplugError {
  return new HyperplugError('POD_COPY_FAILED', what);
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
