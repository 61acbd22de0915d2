import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperplugError } from '../../src/core/errors.js';
import type { PackageRequest, UnpackedPackages } from '../../src/host/debian/packages.js';
import { BOOT_MODULES, MODULES_BESIDE, MODULES_ON_DEMAND, moduleDependencies, moduleName } from './modules.js';

const KERNEL_PREFIX = 'linux-image-';

/** What the image is made of: Debian's kernel for clouds, busybox, and what the agent is compiled against. */
export function guestPackages(refresh: boolean): PackageRequest {
  return {
    label: 'guest',
    packages: ['busybox-static', 'linux-libc-dev', 'musl-dev'],
    dependencies: false,
    expand: { metapackage: 'linux-image-cloud-amd64', prefix: KERNEL_PREFIX },
    finish: pruneGuestTree,
    finished: [...BOOT_MODULES, ...MODULES_ON_DEMAND].join(' '),
    refresh,
  };
}

export function kernelPackage({ packages }: Pick<UnpackedPackages, 'packages'>): { release: string; version: string } {
  const kernel = packages.find(({ name }) => name.startsWith(KERNEL_PREFIX));
  if (!kernel) throw new HyperplugError('IMAGE_BUILD_FAILED', 'no kernel package among those unpacked');
  return { release: kernel.name.slice(KERNEL_PREFIX.length), version: kernel.version };
}

export interface KernelTree {
  readonly vmlinuzPath: string;
  /** Relative to the root, `lib/modules/…/x.ko` or `.ko.xz`, by module name. */
  readonly modules: ReadonlyMap<string, string>;
  readonly builtIn: ReadonlySet<string>;
}

/** Where a kernel package keeps its parts: below lib/modules up to Debian 12, usr/lib/modules after. */
export async function kernelTree(root: string, release: string): Promise<KernelTree> {
  for (const folder of [`usr/lib/modules/${release}`, `lib/modules/${release}`]) {
    const names = await readdir(join(root, folder), { recursive: true }).catch(() => undefined);
    if (!names) continue;
    const builtIn = await readFile(join(root, folder, 'modules.builtin'), 'utf8').catch(() => '');
    const files = names.filter((name) => /\.ko(\.xz)?$/.test(name)).sort();
    return {
      vmlinuzPath: join(root, 'boot', `vmlinuz-${release}`),
      modules: new Map(files.map((name) => [moduleName(name), `${folder}/${name}`])),
      builtIn: new Set(builtIn.split('\n').filter(Boolean).map(moduleName)),
    };
  }
  throw new HyperplugError('IMAGE_BUILD_FAILED', `${root}: no modules of kernel ${release}`);
}

/** Nine tenths of the tree are modules and documents that no image has. */
async function pruneGuestTree(root: string): Promise<void> {
  for (const folder of ['usr/share', 'usr/src']) await rm(join(root, folder), { recursive: true, force: true });
  for (const name of await readdir(join(root, 'boot'))) {
    if (!name.startsWith('vmlinuz-')) await rm(join(root, 'boot', name));
    else await pruneModules(root, name.slice('vmlinuz-'.length));
  }
}

async function pruneModules(root: string, release: string): Promise<void> {
  const { modules } = await kernelTree(root, release);
  const keep = new Set<string>();
  // Compressed ones cannot be asked without a program; such a tree stays as it is.
  if ([...modules.values()].some((path) => !path.endsWith('.ko'))) return;
  const visit = async (name: string): Promise<void> => {
    const path = modules.get(name);
    if (path === undefined || keep.has(name)) return;
    keep.add(name);
    for (const dependency of moduleDependencies(await readFile(join(root, path)))) await visit(dependency);
  };
  for (const name of [...BOOT_MODULES, ...MODULES_ON_DEMAND, ...Object.values(MODULES_BESIDE).flat()])
    await visit(name);
  for (const [name, path] of modules) if (!keep.has(name)) await rm(join(root, path));
}
