import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { throwIfAborted } from '../../core/calls.js';
import { hasCode } from '../../core/errors.js';
import type {
  DiskRequest,
  ImageConfig,
  RootImage,
  RootImageOptions,
  RootImageProvider,
  RootSource,
} from '../../core/rootfs.js';
import { explainSystemError } from '../../core/system-error.js';
import { acquireLockTelling, makeCacheDir } from '../debian/cache-folder.js';
import { acquireLock } from '../lock.js';
import { fileKey, openFiles } from '../open-files.js';
import type { ToolProvider } from '../tools.js';
import { createDisk } from './create-disk.js';
import { sourceError } from './errors.js';
import { fingerprint } from './fingerprint.js';
import { type LayerSource, mergedArchive, readTree } from './merge.js';
import { NO_CONFIG, type OciLayer, readOciImage } from './oci.js';
import { squashArchive, squashDirectory } from './squashfs.js';
import { compressionOf, decompressors, digesting, digestOf, plainBytes } from './streams.js';
import { DEFAULT_TREE_LIMITS, type TreeLimits } from './tree.js';

/** Raised when the same source makes another image than before. */
const LAYOUT = 1;
const FS_TYPE = 'squashfs';
const IMAGE = `root.${FS_TYPE}`;
const FOLDER = /^[0-9a-f]{64}$/;

export interface HostRootImagesOptions {
  /** Absolute; images are kept below it. Made when first needed. */
  readonly cacheDir: string;
  readonly tools: ToolProvider;
  readonly limits?: TreeLimits;
}

/** What one source is made of, and how it is made. */
interface Recipe {
  readonly digest: string;
  readonly config: ImageConfig;
  build(image: string, options: RootImageOptions): Promise<void>;
}

/**
 * Images below CACHEDIR/roots, one folder by the digest of its source; a folder that can be seen is whole, since it comes by a
 * rename. What is in it may be secret (a tree that only root can read, for one), so only this user can read it: QEMU gets its
 * disks by descriptor.
 */
export class HostRootImages implements RootImageProvider {
  readonly #folder: string;
  readonly #tools: ToolProvider;
  readonly #limits: TreeLimits;

  constructor({ cacheDir, tools, limits = DEFAULT_TREE_LIMITS }: HostRootImagesOptions) {
    if (!isAbsolute(cacheDir)) throw new TypeError(`cacheDir: expected an absolute path, got ${cacheDir}`);
    this.#folder = join(cacheDir, 'roots');
    this.#tools = tools;
    this.#limits = limits;
  }

  async rootImage(source: RootSource, options: RootImageOptions): Promise<RootImage> {
    throwIfAborted(options.signal, 'root image');
    if (!isAbsolute(source.path)) throw new TypeError(`path: expected an absolute path, got ${source.path}`);
    try {
      if (source.kind === 'image') return await readyImage(source.path, source.fsType);
      const recipe = await this.#recipe(source, options);
      const key = createHash('sha256').update(`${LAYOUT}\n${recipe.digest}`).digest('hex');
      return (await this.#cached(key, recipe)) ?? (await this.#made(key, recipe, source, options));
    } catch (error) {
      throw explainSystemError(sourceError(source.path, error), `root image of ${source.path}`);
    }
  }

  createDisk(request: DiskRequest, options: RootImageOptions): Promise<void> {
    return createDisk(request, this.#tools, options);
  }

  async prune({ signal, unusedForMs = 0, keep = [], dryRun = false }: Parameters<RootImageProvider['prune']>[0]) {
    const removed: string[] = [];
    let freedBytes = 0;
    let open: ReadonlySet<string> | undefined;
    for (const name of await readdir(this.#folder).catch(() => [])) {
      throwIfAborted(signal, 'prune');
      if (!FOLDER.test(name)) continue;
      const folder = join(this.#folder, name);
      const found = await stat(join(folder, IMAGE)).catch(() => undefined);
      const memo = await readMemo(folder);
      if (memo && keep.includes(memo.digest)) continue;
      if (found && Date.now() - found.atimeMs < unusedForMs) continue;
      open ??= await openFiles();
      if (found && open.has(fileKey(found))) continue;
      if (dryRun) {
        removed.push(memo?.digest ?? name);
        freedBytes += found?.size ?? 0;
        continue;
      }
      const lock = await acquireLock(`${folder}.lock`, { purpose: 'pruning', signal, exclusive: true });
      try {
        await rm(folder, { recursive: true, force: true });
        removed.push(memo?.digest ?? name);
        freedBytes += found?.size ?? 0;
      } finally {
        await lock.release({ remove: true });
      }
    }
    return { removed, freedBytes };
  }

  async #recipe(source: Exclude<RootSource, { kind: 'image' }>, options: RootImageOptions): Promise<Recipe> {
    const { signal } = options;
    const { path } = source;
    if (source.kind === 'directory') {
      const digest = await fingerprint(path, this.#limits, signal);
      return { digest, config: NO_CONFIG, build: (image, call) => squashDirectory(path, image, this.#tools, call) };
    }
    if (source.kind === 'archive') {
      const digest = await digestOf(path, signal);
      return {
        digest,
        config: NO_CONFIG,
        build: (image, call) => this.#squashLayers([{ path, diffId: undefined }], image, call),
      };
    }
    const { digest, layers, config } = await readOciImage(path, source.reference, signal);
    return { digest, config, build: (image, call) => this.#squashLayers(layers, image, call) };
  }

  async #squashLayers(archives: readonly OciLayer[], image: string, options: RootImageOptions): Promise<void> {
    const programs = decompressors(this.#tools, options);
    const layers: LayerSource[] = [];
    for (const { path, diffId } of archives) {
      const compression = compressionOf(await firstBytes(path));
      const program = await programs.program(compression);
      layers.push(() => {
        const bytes = plainBytes(path, compression, program, options.signal);
        return diffId === undefined ? bytes : digesting(bytes, diffId, path);
      });
    }
    const tree = await readTree(layers, this.#limits);
    await squashArchive(mergedArchive(layers, tree), image, this.#tools, options);
  }

  async #cached(key: string, { digest, config }: Recipe): Promise<RootImage | undefined> {
    const folder = join(this.#folder, key);
    const path = join(folder, IMAGE);
    const found = await stat(path).catch(() => undefined);
    if (!found || (await readMemo(folder))?.digest !== digest) return undefined;
    // When it was last given out.
    await utimes(path, new Date(), found.mtime).catch(() => {});
    return { path, fsType: FS_TYPE, digest, sizeBytes: found.size, config };
  }

  async #made(key: string, recipe: Recipe, { path: from }: RootSource, options: RootImageOptions): Promise<RootImage> {
    const { signal, progress } = options;
    await makeCacheDir(this.#folder);
    const folder = join(this.#folder, key);
    const lock = await acquireLockTelling(`${folder}.lock`, `building the root image of ${from}`, signal, progress);
    try {
      const meanwhile = await this.#cached(key, recipe);
      if (meanwhile) return meanwhile;
      await this.#sweep(key);
      const task = progress.begin(`building the root image of ${from}`);
      const temporary = join(this.#folder, `.tmp-${key}-${randomBytes(6).toString('hex')}`);
      try {
        await mkdir(temporary, { mode: 0o700 });
        const image = join(temporary, IMAGE);
        await recipe.build(image, options);
        // The folder is closed: nobody reaches it but who is given a descriptor, as hypervisors with users of their own are.
        await chmod(image, 0o644);
        await writeFile(join(temporary, 'source.json'), JSON.stringify({ digest: recipe.digest, from }), {
          mode: 0o600,
        });
        await sync(image);
        // A folder there that is not as it should be is of no use to anybody.
        await rm(folder, { recursive: true, force: true });
        await rename(temporary, folder);
        const made = await this.#cached(key, recipe);
        if (!made) throw new TypeError(`${folder}: gone as soon as it was made`);
        task.done(`${(made.sizeBytes / 1e6).toFixed(1)} MB`);
        return made;
      } catch (error) {
        task.fail((error as Error).message);
        await rm(temporary, { recursive: true, force: true });
        throw error;
      }
    } finally {
      await lock.release({ remove: true });
    }
  }

  /** What a process that was killed has left of this image. */
  async #sweep(key: string): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (name.startsWith(`.tmp-${key}-`)) await rm(join(this.#folder, name), { recursive: true, force: true });
    }
  }
}

async function readyImage(path: string, fsType: string): Promise<RootImage> {
  const found = await stat(path, { bigint: true });
  if (!found.isFile() && !found.isBlockDevice())
    throw Object.assign(new Error('neither file nor block device'), { code: 'EISDIR' });
  const text = `${path} ${found.dev} ${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
  const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
  return { path, fsType, digest, sizeBytes: Number(found.size), config: NO_CONFIG };
}

async function readMemo(folder: string): Promise<{ readonly digest: string } | undefined> {
  try {
    const memo: unknown = JSON.parse(await readFile(join(folder, 'source.json'), 'utf8'));
    const { digest } = memo as { digest?: unknown };
    return typeof digest === 'string' ? { digest } : undefined;
  } catch (error) {
    if (hasCode(error, 'ABORTED')) throw error;
    return undefined;
  }
}

async function firstBytes(path: string): Promise<Buffer> {
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 0);
  return buffer.subarray(0, bytesRead);
}

async function sync(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.sync();
}
