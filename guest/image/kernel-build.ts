import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { HyperplugError } from '../../src/core/errors.js';
import type { ProgressSink } from '../../src/core/progress.js';
import { runCommand } from '../../src/host/command.js';
import { acquireLockTelling, makeCacheDir } from '../../src/host/debian/cache-folder.js';
import { type Compiler, locateCompiler } from '../../src/host/debian/compiler.js';
import type { UnpackedPackages } from '../../src/host/debian/packages.js';
import { Recent } from '../../src/host/debian/recent.js';
import type { ToolProvider } from '../../src/host/tools.js';
import { checkKernel } from './configured.js';
import { compileKernel, configureKernel, type KernelMake, stripKernel } from './kernel-make.js';

const SOURCE_PREFIX = 'linux-source-';
const UNPACK_TIMEOUT_MS = 10 * 60_000;
/** Sources 1.5 GB, objects 0.5 GB. */
const NEEDED_BYTES = 3 * 2 ** 30;
const KEPT_KERNELS = 2;

export interface OwnKernel {
  /** Hash of configuration and sources. */
  readonly key: string;
  /** An uncompressed ELF kernel with a PVH entry; everything built in. */
  readonly path: string;
  /** `Linux 6.1.192 (our configuration)` */
  readonly description: string;
}

interface Built {
  readonly config: string;
  readonly key: string;
  readonly description: string;
}

const isBuilt = (value: unknown): value is Built =>
  typeof value === 'object' &&
  value !== null &&
  ['config', 'key', 'description'].every((name) => typeof (value as Record<string, unknown>)[name] === 'string');

export interface KernelBuilderOptions {
  /** Absolute. */
  readonly cacheDir: string;
  readonly tools: ToolProvider;
  /** The fragment that says what the kernel has. */
  readonly configPath: string;
}

interface Call {
  readonly signal: AbortSignal;
  readonly progress: ProgressSink;
}

/**
 * A kernel for guests alone, from the sources that Debian packages: a third of the boot time of a distribution's under
 * emulation, since it looks for nothing that a VM cannot have. Optional: who has not built it boots Debian's.
 */
export class KernelBuilder {
  readonly #folder: string;
  readonly #built: Recent<Built>;

  constructor(private readonly options: KernelBuilderOptions) {
    this.#folder = join(options.cacheDir, 'kernels');
    this.#built = new Recent(join(this.#folder, 'kernels.json'), KEPT_KERNELS, isBuilt);
  }

  /** The one that was built last of this configuration; undefined: none was. */
  async find(): Promise<OwnKernel | undefined> {
    const built = await this.#built.read();
    if (built.length === 0) return undefined;
    const config = await this.#configHash();
    for (const { key, description, config: of } of built) {
      const path = join(this.#folder, key, 'vmlinux');
      if (of === config && (await stat(path).catch(() => undefined))) return { key, path, description };
    }
    return undefined;
  }

  /**
   * Builds it from Debian's current sources, where it is not there yet. Some twenty minutes of two cores, 3 GB on the way.
   * @throws IMAGE_BUILD_FAILED, HOST_TOOL_MISSING, ABORTED, TIMEOUT.
   */
  async build(call: Call): Promise<OwnKernel> {
    if (/[\s:]/.test(this.#folder)) {
      throw new HyperplugError(
        'IMAGE_BUILD_FAILED',
        `paths.cacheDirectory: a kernel cannot be built below a path with a space or colon, and this is ${this.#folder}`,
      );
    }
    await makeCacheDir(this.#folder);
    const lock = await acquireLockTelling(join(this.#folder, 'lock'), 'building a kernel', call.signal, call.progress);
    try {
      await this.#sweep();
      return await this.#make(call);
    } finally {
      await lock.release();
    }
  }

  async #make(call: Call): Promise<OwnKernel> {
    const { cacheDir, tools, configPath } = this.options;
    const { PackageStore } = await import('../../src/host/debian/packages.js');
    const packages = await new PackageStore(cacheDir).provide(sourcePackages, call);
    const compiler = await locateCompiler(tools, call);
    const { name, version } = sourcePackage(packages);
    const config = await this.#configHash();
    const key = createHash('sha256').update(`${config}\n${name}=${version}`).digest('hex').slice(0, 16);
    const known = await this.find();
    if (known?.key === key) return known;
    const free = await statfs(this.#folder);
    if (free.bavail * free.bsize < NEEDED_BYTES) {
      const mebibytes = Math.floor((free.bavail * free.bsize) / 2 ** 20);
      throw new HyperplugError(
        'IMAGE_BUILD_FAILED',
        `${this.#folder}: a kernel takes ${NEEDED_BYTES / 2 ** 20} MiB to build, and ${mebibytes} MiB are free`,
      );
    }
    const temporary = join(this.#folder, `.tmp-${randomBytes(6).toString('hex')}`);
    try {
      await mkdir(temporary, { mode: 0o755 });
      const source = await this.#unpack(packages, temporary, call);
      const make = makeArguments(compiler, packages, source, join(temporary, 'objects'));
      await mkdir(join(temporary, 'objects'));
      await configureKernel(make, configPath, call);
      await compileKernel(make, call);
      const release = (await readFile(join(temporary, 'objects/include/config/kernel.release'), 'utf8')).trim();
      const description = `Linux ${release} (our configuration, Debian sources ${version})`;
      await mkdir(join(temporary, 'result'), { mode: 0o755 });
      const kernel = join(temporary, 'result/vmlinux');
      await stripKernel(make, kernel, call);
      await checkKernel('kernel', kernel);
      await rm(join(this.#folder, key), { recursive: true, force: true });
      await rename(join(temporary, 'result'), join(this.#folder, key));
      const kept = await this.#built.add({ config, key, description }, (other) => other.config === config);
      await this.#removeAllBut(kept.map((it) => it.key));
      return { key, path: join(this.#folder, key, 'vmlinux'), description };
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }

  async #unpack({ root }: UnpackedPackages, temporary: string, { signal, progress }: Call): Promise<string> {
    for (const folder of [join(root, 'usr/src'), '/usr/src']) {
      const names: string[] = await readdir(folder).catch(() => []);
      const archive = names.find((name) => name.startsWith(SOURCE_PREFIX) && name.endsWith('.tar.xz'));
      if (archive === undefined) continue;
      const task = progress.begin('unpacking the kernel’s sources');
      const xz = await this.options.tools.locate('xz', { signal, progress });
      await runCommand(
        [
          'tar',
          '--extract',
          `--use-compress-program=${xz.path}`,
          `--directory=${temporary}`,
          '--file',
          join(folder, archive),
        ],
        { signal, timeoutMs: UNPACK_TIMEOUT_MS, env: xz.env },
      );
      task.done();
      return join(temporary, archive.replace(/\.tar\.xz$/, ''));
    }
    throw new HyperplugError('IMAGE_BUILD_FAILED', `${root}: no sources of a kernel`);
  }

  async #configHash(): Promise<string> {
    return createHash('sha256')
      .update(await readFile(this.options.configPath))
      .digest('hex');
  }

  /** Removes what a killed build left; only the lock's holder calls it. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (name.startsWith('.tmp-')) await rm(join(this.#folder, name), { recursive: true, force: true });
    }
  }

  async #removeAllBut(keys: readonly string[]): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (/^[0-9a-f]{16}$/.test(name) && !keys.includes(name)) {
        await rm(join(this.#folder, name), { recursive: true, force: true });
      }
    }
  }
}

const sourcePackages = {
  label: 'kernel-source',
  packages: ['make', 'flex', 'bison', 'bc', 'libelf-dev', 'zlib1g-dev'],
  dependencies: true,
  expand: { metapackage: 'linux-source', prefix: SOURCE_PREFIX },
} as const;

function sourcePackage({ packages }: UnpackedPackages): { readonly name: string; readonly version: string } {
  const found = packages.find(({ name }) => name.startsWith(SOURCE_PREFIX));
  // Where it is installed it is not among those unpacked.
  return found ?? { name: 'linux-source', version: 'installed' };
}

/** Tools that were unpacked know each other by what they are told: bison its macros, the linker its libraries. */
function makeArguments(compiler: Compiler, { root }: UnpackedPackages, source: string, objects: string): KernelMake {
  const usr = join(root, 'usr');
  const libraries = join(usr, 'lib/x86_64-linux-gnu');
  const cc = compiler.command.join(' ');
  // For objtool's libelf. After the sources' own: among these are headers of this machine's kernel.
  const include = `-idirafter ${join(usr, 'include')}`;
  const path = [join(usr, 'bin'), compiler.env.PATH ?? process.env.PATH ?? '/usr/bin:/bin'].join(delimiter);
  return {
    argv: [
      ...['make', '-C', source, `O=${objects}`, `CC=${cc}`, `HOSTCC=${cc}`],
      ...[`HOSTCFLAGS=${include}`, `HOSTLDFLAGS=-L${libraries} -lz`],
    ],
    env: {
      ...compiler.env,
      PATH: path,
      LD_LIBRARY_PATH: [libraries, compiler.env.LD_LIBRARY_PATH ?? process.env.LD_LIBRARY_PATH ?? '']
        .filter(Boolean)
        .join(delimiter),
      BISON_PKGDATADIR: join(usr, 'share/bison'),
      M4: join(usr, 'bin/m4'),
      // The same bytes whoever builds it, and when.
      KBUILD_BUILD_USER: 'hyperplug',
      KBUILD_BUILD_HOST: 'hyperplug',
      KBUILD_BUILD_TIMESTAMP: 'Thu Jan  1 00:00:00 UTC 1970',
    },
    objects,
  };
}
