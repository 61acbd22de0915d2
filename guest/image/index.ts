import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { throwIfAborted } from '../../src/core/calls.js';
import { HyperplugError, isHyperplugError } from '../../src/core/errors.js';
import type { GuestImage, GuestImageProvider } from '../../src/core/guest-image.js';
import type { ProgressSink } from '../../src/core/progress.js';
import { acquireLockTelling, makeCacheDir } from '../../src/host/debian/cache-folder.js';
import { Recent } from '../../src/host/debian/recent.js';
import type { ToolProvider } from '../../src/host/tools.js';
import { checkInitramfs, checkKernel } from './configured.js';
import { KernelBuilder, type OwnKernel } from './kernel-build.js';
import { guestPackages } from './packages.js';
import { type ProgramSources, readSources } from './program-build.js';
import { SourceHashes } from './source-hashes.js';

export interface DebianGuestImageOptions {
  /** Absolute. Unpacked packages are kept below it. */
  readonly cacheDir: string;
  /** Absolute; where images are kept. Default: `images` in cacheDir. */
  readonly imageDir?: string;
  /** For the compiler, and for decompressors where they are needed. */
  readonly tools: ToolProvider;
  /** Boot this kernel instead of Debian's (option `guest.kernel`). */
  readonly kernelPath?: string;
  /** Use this initramfs instead of ours (option `guest.initramfs`). */
  readonly initramfsPath?: string;
  /** Look for newer packages even if an image is there. */
  readonly refresh?: boolean;
  /** Default: guest/agent of this package. */
  readonly agentDir?: string;
  /** What our own kernel is built from. Default: guest/image/kernel.config of this package. */
  readonly kernelConfigPath?: string;
  /** Images kept, at least 2; default 6. */
  readonly keptImages?: number;
}

interface Call {
  readonly signal: AbortSignal;
  readonly progress: ProgressSink;
}

/** Which image was made of what; all that a later call needs to know. */
interface Made {
  readonly builder: string;
  readonly agent: string;
  readonly launcher: string;
  /** Key of our own kernel, or `debian`. */
  readonly kernel: string;
  readonly key: string;
  readonly description: string;
}

const isMade = (value: unknown): value is Made =>
  typeof value === 'object' &&
  value !== null &&
  ['builder', 'agent', 'launcher', 'kernel', 'key', 'description'].every(
    (name) => typeof (value as Record<string, unknown>)[name] === 'string',
  );

/** What an image is made of, beside Debian's packages. */
interface Parts {
  readonly builder: string;
  readonly agent: ProgramSources;
  readonly launcher: ProgramSources;
  readonly own: OwnKernel | undefined;
}

const sources = ({ builder, agent, launcher, own }: Parts) => ({
  builder,
  agent: agent.hash,
  launcher: launcher.hash,
  kernel: own?.key ?? 'debian',
});

const isOf = (made: Made, wanted: ReturnType<typeof sources>) =>
  (['builder', 'agent', 'launcher', 'kernel'] as const).every((part) => made[part] === wanted[part]);

const FILES = {
  kernel: 'kernel',
  initramfs: 'initramfs',
  bareInitramfs: 'initramfs-bare',
  launcher: 'launcher',
} as const;

interface BuiltFiles {
  readonly kernelPath: string;
  readonly initramfsPath: string;
  readonly bareInitramfsPath: string;
  readonly launcherPath: string;
  readonly description: string;
}

/** Versions of this package that share a cache; and the image before, which another process may be about to boot. */
const KEPT_IMAGES = 6;

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGE_ROOT = join(HERE, '../../..');
const BUILDER_SOURCES = join(PACKAGE_ROOT, 'guest/image');
const LAUNCHER_SOURCES = join(PACKAGE_ROOT, 'launcher');
const KERNEL_CONFIG = join(BUILDER_SOURCES, 'kernel.config');

/**
 * Kernel and initramfs from Debian's packages and the agent's sources. An image is named by the hash of all that went
 * into it and appears by a rename, so one that can be seen is whole. Of several processes one builds, the others wait.
 */
export class DebianGuestImageProvider implements GuestImageProvider {
  private readonly options: DebianGuestImageOptions;
  private readonly imageDir: string;
  private readonly agentDir: string;
  private readonly made: Recent<Made>;
  private readonly kernels: KernelBuilder;

  constructor(options: DebianGuestImageOptions) {
    for (const path of [options.cacheDir, options.imageDir ?? '/', options.agentDir ?? '/']) {
      if (!isAbsolute(path)) throw new TypeError(`DebianGuestImageProvider: expected an absolute path, got ${path}`);
    }
    this.options = options;
    this.imageDir = options.imageDir ?? join(options.cacheDir, 'images');
    this.agentDir = options.agentDir ?? join(PACKAGE_ROOT, 'guest/agent');
    const { cacheDir, tools } = options;
    this.kernels = new KernelBuilder({ cacheDir, tools, configPath: options.kernelConfigPath ?? KERNEL_CONFIG });
    this.made = new Recent(join(this.imageDir, 'images.json'), options.keptImages ?? KEPT_IMAGES, isMade);
  }

  /** @throws IMAGE_NOT_FOUND a configured file; IMAGE_BUILD_FAILED; HOST_TOOL_MISSING, HOST_PERMISSION; ABORTED, TIMEOUT. */
  async image(call: Call): Promise<GuestImage> {
    throwIfAborted(call.signal, 'guest image');
    const { kernelPath, initramfsPath } = this.options;
    const names: string[] = [];
    if (kernelPath !== undefined) {
      names.push(`${kernelPath} (${await checkKernel('guest.kernel', kernelPath)})`);
    }
    if (initramfsPath !== undefined) {
      await checkInitramfs('guest.initramfs', initramfsPath);
      names.push(initramfsPath);
    }
    if (kernelPath !== undefined && initramfsPath !== undefined) {
      return { kernelPath, initramfsPath, kernelArgs: [], description: names.join(', ') };
    }
    const built = await this.built(call);
    return {
      kernelPath: kernelPath ?? built.kernelPath,
      initramfsPath: initramfsPath ?? built.initramfsPath,
      ...(initramfsPath === undefined && { bareInitramfsPath: built.bareInitramfsPath }),
      launcherPath: built.launcherPath,
      kernelArgs: [],
      description: [built.description, ...names].join(', '),
    };
  }

  /**
   * Builds a kernel for guests alone, which images are made with from then on.
   * @throws IMAGE_BUILD_FAILED, HOST_TOOL_MISSING, ABORTED, TIMEOUT.
   */
  async buildKernel(call: Call): Promise<void> {
    await this.kernels.build(call);
  }

  private async built(call: Call): Promise<BuiltFiles> {
    const hashes = new SourceHashes(join(this.imageDir, 'sources.json'));
    const [builder, agent, launcher, own] = await Promise.all([
      builderHash(hashes),
      readSources('the guest agent', this.agentDir, hashes),
      readSources('the launcher', LAUNCHER_SOURCES, hashes),
      // One that is configured replaces it, and then the image's modules must be those of Debian's, as ever.
      this.options.kernelPath === undefined ? this.kernels.find() : undefined,
    ]);
    const parts = { builder, agent, launcher, own };
    const { refresh = false } = this.options;
    const known = refresh ? undefined : await this.recall(parts);
    if (known) return known;
    await makeCacheDir(this.imageDir);
    const lock = await acquireLockTelling(
      join(this.imageDir, 'lock'),
      'building a guest image',
      call.signal,
      call.progress,
    );
    try {
      return (refresh ? undefined : await this.recall(parts)) ?? (await this.make(parts, call));
    } catch (error) {
      if (call.signal.aborted || (isHyperplugError(error) && !error.code.startsWith('HOST_COMMAND'))) throw error;
      throw new HyperplugError('IMAGE_BUILD_FAILED', `guest image: ${(error as Error).message}`, { cause: error });
    } finally {
      await lock.release();
    }
  }

  private async recall(parts: Parts): Promise<BuiltFiles | undefined> {
    const wanted = sources(parts);
    const made = (await this.made.read()).find((it) => isOf(it, wanted));
    return made && this.describe(made.key, made.description);
  }

  private async describe(key: string, description: string): Promise<BuiltFiles | undefined> {
    const folder = join(this.imageDir, key);
    const names: string[] = await readdir(folder).catch(() => []);
    if (!Object.values(FILES).every((name) => names.includes(name))) return undefined;
    return {
      kernelPath: join(folder, FILES.kernel),
      initramfsPath: join(folder, FILES.initramfs),
      bareInitramfsPath: join(folder, FILES.bareInitramfs),
      launcherPath: join(folder, FILES.launcher),
      description,
    };
  }

  private async make(parts: Parts, { signal, progress }: Call): Promise<BuiltFiles> {
    await this.sweep();
    // Loaded where there is something to build, which is seldom.
    const { PackageStore } = await import('../../src/host/debian/packages.js');
    const { buildImage } = await import('./build.js');
    const store = new PackageStore(this.options.cacheDir);
    const tree = await store.provide(guestPackages(this.options.refresh ?? false), { signal, progress });
    const { builder, agent, launcher, own } = parts;
    const ingredients = [builder, tree.key, agent.hash, launcher.hash, ...(own ? [own.key] : [])];
    const key = createHash('sha256').update(ingredients.join('\n')).digest('hex').slice(0, 16);
    const task = progress.begin('building the guest image');
    const temporary = join(this.imageDir, `.tmp-${randomBytes(6).toString('hex')}`);
    try {
      await mkdir(join(temporary, 'work'), { recursive: true, mode: 0o755 });
      const built = await buildImage({
        tree,
        agent,
        launcher,
        own,
        tools: this.options.tools,
        temporary: join(temporary, 'work'),
        signal,
        progress,
      });
      await rm(join(temporary, 'work'), { recursive: true });
      for (const name of ['kernel', 'initramfs', 'bareInitramfs', 'launcher'] as const) {
        await writeDurably(join(temporary, FILES[name]), built[name], name === 'launcher' ? 0o755 : 0o644);
      }
      await chmod(temporary, 0o755);
      const folder = join(this.imageDir, key);
      await rm(folder, { recursive: true, force: true }); // the same bytes, or what someone damaged
      await rename(temporary, folder);
      await this.remember({ ...sources(parts), key, description: built.description });
      task.done(built.description);
      return (await this.describe(key, built.description))!;
    } catch (error) {
      task.fail((error as Error).message);
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
  }

  private async remember(made: Made): Promise<void> {
    const kept = await this.made.add(made, (other) => isOf(other, made));
    for (const name of await readdir(this.imageDir)) {
      if (!/^[0-9a-f]{16}$/.test(name) || kept.some(({ key }) => key === name)) continue;
      await rm(join(this.imageDir, name), { recursive: true, force: true });
    }
  }

  /** Removes what a killed build left; only the lock's holder calls it. */
  private async sweep(): Promise<void> {
    for (const name of await readdir(this.imageDir)) {
      if (name.startsWith('.tmp-')) await rm(join(this.imageDir, name), { recursive: true, force: true });
    }
  }
}

/**
 * Over this builder's own code, so that a changed builder never takes an older one's image for its own. Over its sources:
 * what is compiled from them differs with how they were joined.
 */
async function builderHash(hashes: SourceHashes): Promise<string> {
  const names = (await readdir(BUILDER_SOURCES)).filter((file) => file.endsWith('.ts')).sort();
  return hashes.of(BUILDER_SOURCES, names);
}

async function writeDurably(path: string, content: Buffer, mode: number): Promise<void> {
  const file = await open(path, 'w', mode);
  try {
    await file.writeFile(content);
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
}
