import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A busybox that needs no libraries, where this machine has one. */
export const busybox = ['/bin/busybox', '/usr/bin/busybox'].find(
  (path) => existsSync(path) && spawnSync('ldd', [path]).status !== 0,
);

/** A root file system of busybox with all its applets, a few users and `files` (by path, with their content). */
export function makeBusyboxTree(root: string, files: Readonly<Record<string, string>> = {}): void {
  if (busybox === undefined) throw new TypeError('no busybox');
  for (const folder of ['bin', 'etc', 'tmp', 'root', 'home/inside']) mkdirSync(join(root, folder), { recursive: true });
  copyFileSync(busybox, join(root, 'bin/busybox'));
  const applets = execFileSync(busybox, ['--list-full'], { encoding: 'utf8' }).split('\n').filter(Boolean);
  for (const applet of applets) {
    const path = join(root, applet);
    if (existsSync(path)) continue;
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync('/bin/busybox', path);
  }
  const written = {
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\ninside:x:77:78:inside:/home/inside:/bin/sh\n',
    'etc/group': 'root:x:0:\ninside:x:78:\nmore:x:79:inside\n',
    ...files,
  };
  for (const [path, content] of Object.entries(written)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
}
