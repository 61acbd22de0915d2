import { chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type CpioEntry, writeCpio } from '../../../guest/image/cpio.js';
import { runCommand } from '../../host/command.js';
import type { Tool } from '../../host/tools.js';

/** File systems of disks, and what layers are made with, that linux.uml has as modules. */
const WANTED = { squashfs: 'kernel/fs/squashfs', erofs: 'kernel/fs/erofs', overlay: 'kernel/fs/overlayfs' };
const ON_DEMAND_LIST = 'etc/hyperplug/modules-on-demand';

/**
 * The guest's image has the modules of another kernel: this writes it to `path` with those of linux.uml behind it, which the
 * guest loads when it needs them. The kernel unpacks one archive after the other, and the last of a name stays.
 * @returns false where linux.uml came without modules.
 */
export async function withModules(
  initramfsPath: string,
  uml: Tool,
  path: string,
  options: { readonly signal: AbortSignal },
): Promise<boolean> {
  const release = (await runCommand([uml.path, '--version'], { signal: options.signal, env: uml.env })).stdout.trim();
  const folder = join(dirname(uml.path), '../lib/uml/modules', release);
  const files: CpioEntry[] = [];
  const list: string[] = [];
  const at = `lib/modules/${release}`;
  for (const [name, place] of Object.entries(WANTED)) {
    const content = await readFile(join(folder, place, `${name}.ko`)).catch(() => undefined);
    if (!content) continue;
    files.push({ kind: 'file', path: `${at}/${name}.ko`, mode: 0o644, content });
    list.push(`${name} /${at}/${name}.ko\n`);
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
