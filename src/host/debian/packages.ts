import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { throwIfAborted } from '../../core/calls.js';
import { HyperplugError, hasCode } from '../../core/errors.js';
import type { ProgressSink } from '../../core/progress.js';
import { runCommand } from '../command.js';
import type { FileLock } from '../lock.js';
import { PrivateApt } from './apt.js';
import type { PackageFile, PackageVersion } from './apt-output.js';
import { acquireLockTelling, makeCacheDir } from './cache-folder.js';
import { Recent } from './recent.js';

/** Raised when the layout of an unpacked tree changes: older ones are then made anew. */
const LAYOUT = 1;

export interface PackageRequest {
  /** Names the set: `[a-z0-9][a-z0-9._-]*`. Two requests of one label are versions of the same thing. */
  readonly label: string;
  readonly packages: readonly string[];
  /** With what this machine lacks for them to run; else the named ones alone. */
  readonly dependencies: boolean;
  /** Adds packages found in the Depends of these (metapackages) by a prefix: `linux-image-`. */
  readonly expand?: { readonly metapackage: string; readonly prefix: string };
  /** Changes a fresh tree before anyone can see it: removes what is not needed of it, adds links. */
  readonly finish?: (root: string) => Promise<void>;
  /** What `finish` leaves, for it to be done anew where that has changed. */
  readonly finished?: string;
  /** Looks for newer versions even where an unpacked tree is remembered. */
  readonly refresh?: boolean;
}

export interface UnpackedPackages {
  /** Folder with `usr/…` of all of them. */
  readonly root: string;
  /** Hash over names and versions. */
  readonly key: string;
  readonly packages: readonly PackageVersion[];
}

export interface PackageCallOptions {
  readonly signal: AbortSignal;
  readonly progress: ProgressSink;
}

interface Remembered {
  readonly layout: number;
  readonly request: string;
  readonly key: string;
  readonly packages: readonly PackageVersion[];
}

const isRemembered = (value: unknown): value is Remembered =>
  typeof value === 'object' &&
  value !== null &&
  (value as Remembered).layout === LAYOUT &&
  typeof (value as Remembered).request === 'string' &&
  typeof (value as Remembered).key === 'string' &&
  Array.isArray((value as Remembered).packages);

/** Versions of this package that share a cache; and the tree before, which a running program may still use. */
const KEPT_TREES = 4;

/**
 * Debian packages unpacked into a cache folder without installing them. Trees are named by the versions they hold and
 * appear by a rename, so that a tree that can be seen is whole; one process at a time makes them.
 */
export class PackageStore {
  private readonly cacheDir: string;

  /** @param cacheDir absolute; made if missing. */
  constructor(cacheDir: string) {
    this.cacheDir = cacheDir;
  }

  /**
   * A known set is answered from two small files, without apt.
   * @throws HOST_TOOL_MISSING the machine has no apt; HOST_COMMAND_FAILED; HOST_PERMISSION; ABORTED, TIMEOUT.
   */
  async provide(request: PackageRequest, options: PackageCallOptions): Promise<UnpackedPackages> {
    if (!request.refresh) {
      const known = await this.recall(request);
      if (known) return known;
    }
    const lock = await this.lock(options);
    try {
      const known = request.refresh ? undefined : await this.recall(request);
      return known ?? (await this.make(request, options));
    } finally {
      await lock.release();
    }
  }

  private async lock({ signal, progress }: PackageCallOptions): Promise<FileLock> {
    await makeCacheDir(join(this.cacheDir, 'packages'));
    return acquireLockTelling(join(this.cacheDir, 'packages', 'lock'), 'unpacking Debian packages', signal, progress);
  }

  private async recall(request: PackageRequest): Promise<UnpackedPackages | undefined> {
    const wanted = fingerprint(request);
    const remembered = (await this.recent(request.label).read()).find((it) => it.request === wanted);
    if (!remembered) return undefined;
    const root = this.rootOf(request.label, remembered.key);
    const there = await access(root).then(
      () => true,
      () => false,
    );
    return there ? { root, key: remembered.key, packages: remembered.packages } : undefined;
  }

  private async make(request: PackageRequest, options: PackageCallOptions): Promise<UnpackedPackages> {
    await this.sweep();
    const apt = new PrivateApt(join(this.cacheDir, 'apt'), options.signal);
    const resolve = async (force: boolean): Promise<PackageVersion[]> => {
      const task = options.progress.begin('reading package lists');
      try {
        await apt.update(force);
        const packages = await resolvePackages(apt, request);
        task.done();
        return packages;
      } catch (error) {
        task.fail((error as Error).message);
        throw error;
      }
    };
    let packages = await resolve(request.refresh ?? false);
    try {
      return await this.unpack(apt, request, packages, options);
    } catch (error) {
      // The lists may name a version that has been replaced since.
      if (!hasCode(error, 'HOST_COMMAND_FAILED') || !/40[34]|Unable to/.test(error.message)) throw error;
      packages = await resolve(true);
      return this.unpack(apt, request, packages, options);
    }
  }

  private async unpack(
    apt: PrivateApt,
    request: PackageRequest,
    packages: readonly PackageVersion[],
    options: PackageCallOptions,
  ): Promise<UnpackedPackages> {
    const key = packagesKey(packages, request.finished);
    const root = this.rootOf(request.label, key);
    if (!(await stat(root).catch(() => undefined))) {
      const files = await apt.files(packages);
      const debs = await this.download(apt, request.label, packages, files, options);
      await this.extract(request, debs, root, options);
      for (const deb of debs) await rm(deb, { force: true });
    }
    await this.remember(request, key, packages);
    await apt.clean();
    return { root, key, packages };
  }

  private async download(
    apt: PrivateApt,
    label: string,
    packages: readonly PackageVersion[],
    files: readonly PackageFile[],
    { progress }: PackageCallOptions,
  ): Promise<string[]> {
    const folder = await apt.debs();
    const missing = new Set<string>();
    for (const file of files) if (!(await isIntact(join(folder, file.fileName), file))) missing.add(file.fileName);
    if (missing.size > 0) {
      const wanted = packages.filter((it) => [...missing].some((name) => name.startsWith(`${it.name}_`)));
      const bytes = files.reduce((sum, file) => sum + (missing.has(file.fileName) ? file.bytes : 0), 0);
      const task = progress.begin(`downloading ${missing.size} Debian packages for ${label}`);
      try {
        await apt.download(wanted, (percent) => task.update((bytes * percent) / 1e8, bytes / 1e6, 'MB'));
        for (const file of files) {
          if (!(await isIntact(join(folder, file.fileName), file))) {
            throw new HyperplugError('HOST_COMMAND_FAILED', `apt-get download: ${file.fileName} did not come whole`);
          }
        }
        task.done(`${(bytes / 1e6).toFixed(1)} MB`);
      } catch (error) {
        task.fail((error as Error).message);
        throw error;
      }
    }
    return files.map((file) => join(folder, file.fileName));
  }

  private async extract(
    request: PackageRequest,
    debs: readonly string[],
    root: string,
    options: PackageCallOptions,
  ): Promise<void> {
    const { signal, progress } = options;
    const temporary = join(this.cacheDir, 'packages', `.tmp-${randomBytes(6).toString('hex')}`);
    const task = progress.begin(`unpacking ${debs.length} Debian packages for ${request.label}`);
    try {
      await mkdir(temporary, { recursive: true });
      for (const [index, deb] of debs.entries()) {
        throwIfAborted(signal, `unpack ${deb}`);
        task.update(index, debs.length, 'packages');
        await runCommand(['dpkg-deb', '--extract', deb, temporary], { signal, timeoutMs: 300_000 });
      }
      await request.finish?.(temporary);
      await rename(temporary, root);
      task.done();
    } catch (error) {
      task.fail((error as Error).message);
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
  }

  private async remember(request: PackageRequest, key: string, packages: readonly PackageVersion[]): Promise<void> {
    const value: Remembered = { layout: LAYOUT, request: fingerprint(request), key, packages };
    const kept = await this.recent(request.label).add(value, (other) => other.request === value.request);
    for (const name of await readdir(join(this.cacheDir, 'packages'))) {
      const tree = name.startsWith(`${request.label}@`);
      if (tree && !kept.some((it) => name === `${request.label}@${it.key}`)) {
        await rm(join(this.cacheDir, 'packages', name), { recursive: true, force: true });
      }
    }
  }

  /** Removes what a killed process left half-made; only the lock's holder calls it. */
  private async sweep(): Promise<void> {
    const folder = join(this.cacheDir, 'packages');
    for (const name of await readdir(folder)) {
      if (name.startsWith('.tmp-')) await rm(join(folder, name), { recursive: true, force: true });
    }
  }

  private rootOf(label: string, key: string): string {
    return join(this.cacheDir, 'packages', `${label}@${key}`);
  }

  private recent(label: string): Recent<Remembered> {
    return new Recent(join(this.cacheDir, 'packages', `${label}.json`), KEPT_TREES, isRemembered);
  }
}

async function resolvePackages(apt: PrivateApt, request: PackageRequest): Promise<PackageVersion[]> {
  const names = [...request.packages];
  if (request.expand) {
    const { metapackage, prefix } = request.expand;
    const concrete = (await apt.dependencies(metapackage)).filter((name) => name.startsWith(prefix));
    if (concrete.length === 0) {
      throw new HyperplugError('HOST_COMMAND_FAILED', `${metapackage} depends on no package named ${prefix}…`);
    }
    names.push(...concrete);
  }
  const found = request.dependencies ? await apt.resolveWithDependencies(names) : await apt.resolveExactly(names);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function packagesKey(packages: readonly PackageVersion[], finished = ''): string {
  const text = packages.map(({ name, version, architecture }) => `${name}=${version}:${architecture}`).join('\n');
  return createHash('sha256')
    .update(`${LAYOUT}\n${text}${finished === '' ? '' : `\n${finished}`}`)
    .digest('hex')
    .slice(0, 16);
}

function fingerprint({ packages, dependencies, expand, finished }: PackageRequest): string {
  return JSON.stringify([packages, dependencies, expand ?? null, ...(finished === undefined ? [] : [finished])]);
}

async function isIntact(path: string, file: PackageFile): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found?.size !== file.bytes) return false;
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex') === file.sha256;
}
