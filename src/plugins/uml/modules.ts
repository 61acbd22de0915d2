import { chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type CpioEntry, writeCpio } from '../../../guest/image/cpio.js';
import type { VmSpec } from '../../core/hypervisor.js';
import { runCommand } from '../../host/command.js';
import type { Tool } from '../../host/tools.js';

/** What linux.uml has as modules that pods may need: their files, in the order in which they are loaded. */
const PLACES = {
  squashfs: ['kernel/fs/squashfs/squashfs.ko'],
  erofs: ['kernel/fs/erofs/erofs.ko'],
  overlay: ['kernel/fs/overlayfs/overlay.ko'],
  ipv6: ['kernel/lib/crc-ccitt.ko', 'kernel/net/ipv6/ipv6.ko'],
} as const;

export type UmlModule = keyof typeof PLACES;

/** File systems of disks and layers, where there are such; IPv6, where there may be such addresses. */
export function modulesFor({ disks, overlays, ipv6 }: VmSpec): readonly UmlModule[] {
  return [
    ...(disks.length > 0 || overlays ? (['squashfs', 'erofs', 'overlay'] as const) : []),
    ...(ipv6 ? (['ipv6'] as const) : []),
  ];
}

const ON_DEMAND_LIST = 'etc/hyperplug/modules-on-demand';

/**
 * The guest's image has the modules of another kernel: this writes it to `path` with those of linux.uml behind it, which the
 * guest loads when it needs them. The kernel unpacks one archive after the other, and the last of a name stays.
 * @returns false where linux.uml came without modules.
 */
export async function withModules(
  initramfsPath: string,
  uml: Tool,
  modules: readonly UmlModule[],
  path: string,
  options: { readonly signal: AbortSignal },
): Promise<boolean> {
  const release = (await runCommand([uml.path, '--version'], { signal: options.signal, env: uml.env })).stdout.trim();
  const folder = join(dirname(uml.path), '../lib/uml/modules', release);
  const files: CpioEntry[] = [];
  const list: string[] = [];
  const at = `lib/modules/${release}`;
  for (const name of modules) {
    const paths: string[] = [];
    for (const place of PLACES[name]) {
      const content = await readFile(join(folder, place)).catch(() => undefined);
      if (!content) continue;
      const path = `${at}/${basename(place)}`;
      files.push({ kind: 'file', path, mode: 0o644, content });
      paths.push(`/${path}`);
    }
    if (paths.length > 0) list.push(`${[name, ...paths].join(' ')}\n`);
  }
  if (files.length === 0) return false;
  files.push({ kind: 'file', path: ON_DEMAND_LIST, mode: 0o644, content: Buffer.from(list.join('')) });
  const folders = ['etc', 'etc/hyperplug', 'lib', 'lib/modules', at];
  const archive = writeCpio([
    ...folders.map((each): CpioEntry => ({ kind: 'directory', path: each, mode: 0o755 })),
    ...files,
  ]);
  await copyFile(initramfsPath, path);
  await writeFile(path, archive, { flag: 'a' });
  await chmod(path, 0o644);
  return true;
}
