import type { CpioEntry } from './cpio.js';

/** A module file as it comes into the image. */
export interface ImageModule {
  /** `lib/modules/6.1.0-1-cloud-amd64/kernel/…/virtio_net.ko` */
  readonly path: string;
  readonly content: Buffer;
}

export interface RootFilesystem {
  readonly agent: Buffer;
  readonly busybox: Buffer;
  /** Paths of busybox's applets: `bin/sh`, `usr/bin/wc`. */
  readonly applets: readonly string[];
  readonly modules: readonly ImageModule[];
  /** Paths among `modules` that the agent loads at boot, in this order. */
  readonly bootModules: readonly string[];
  /** What it loads when it needs something, and in which order. */
  readonly modulesOnDemand: readonly { readonly name: string; readonly modules: readonly string[] }[];
  /** For /etc/os-release. */
  readonly description: string;
}

/** Each line of it is an absolute path of a module to load, in order. Read by the agent. */
export const MODULE_LIST_PATH = 'etc/hyperplug/modules';
/** Each line of it is a name that the agent asks for, then the absolute paths of modules, in order. */
export const ON_DEMAND_LIST_PATH = 'etc/hyperplug/modules-on-demand';

const FOLDERS: readonly (readonly [path: string, mode: number])[] = [
  ['dev', 0o755],
  ['proc', 0o555],
  ['sys', 0o555],
  ['run', 0o755],
  ['tmp', 0o1777],
  ['var/tmp', 0o1777],
  ['var/log', 0o755],
  ['root', 0o700],
  ['home', 0o755],
  ['mnt', 0o755],
  ['etc/hyperplug', 0o755],
];

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The entries of the initramfs, directories before what they hold. The same input gives the same entries. */
export function rootFilesystem(content: RootFilesystem): CpioEntry[] {
  const directories = new Map<string, number>();
  const others: CpioEntry[] = [];
  const addDirectory = (path: string, mode = 0o755): void => {
    const parent = path.split('/').slice(0, -1).join('/');
    if (parent !== '' && !directories.has(parent)) addDirectory(parent);
    directories.set(path, mode);
  };
  const add = (entry: CpioEntry): void => {
    const parent = entry.path.split('/').slice(0, -1).join('/');
    if (parent !== '' && !directories.has(parent)) addDirectory(parent);
    others.push(entry);
  };
  for (const [path, mode] of FOLDERS) addDirectory(path, mode);
  add({ kind: 'file', path: 'init', mode: 0o755, content: content.agent });
  add({ kind: 'file', path: 'bin/busybox', mode: 0o755, content: content.busybox });
  for (const path of [...content.applets].sort()) {
    if (path !== 'bin/busybox') add({ kind: 'symlink', path, target: '/bin/busybox' });
  }
  for (const { path, content: bytes } of content.modules) add({ kind: 'file', path, mode: 0o644, content: bytes });
  for (const [path, text] of Object.entries(textFiles(content))) {
    add({ kind: 'file', path, mode: 0o644, content: Buffer.from(text) });
  }
  add({ kind: 'symlink', path: 'var/run', target: '/run' });
  // The kernel opens /dev/console for /init before anything can be mounted on /dev (init/main.c: console_on_rootfs).
  add({ kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 });
  add({ kind: 'character-device', path: 'dev/null', mode: 0o666, major: 1, minor: 3 });
  const folders = [...directories].map(([path, mode]): CpioEntry => ({ kind: 'directory', path, mode }));
  return [...folders, ...others];
}

function textFiles({ bootModules, modulesOnDemand, description }: RootFilesystem): Record<string, string> {
  return {
    [MODULE_LIST_PATH]: bootModules.map((path) => `/${path}\n`).join(''),
    [ON_DEMAND_LIST_PATH]: modulesOnDemand
      .map(({ name, modules }) => `${[name, ...modules.map((path) => `/${path}`)].join(' ')}\n`)
      .join(''),
    'etc/group': 'root:x:0:\ndaemon:x:1:\ntty:x:5:\nusers:x:100:\nnogroup:x:65534:\n',
    'etc/hosts': '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n',
    'etc/nsswitch.conf': 'hosts: files dns\n',
    'etc/os-release': `NAME="hyperplug guest"\nID=hyperplug\nPRETTY_NAME="${description.replaceAll(/["\\$`\n]/g, '')}"\n`,
    'etc/passwd':
      'root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n',
    'etc/profile': `export PATH=${PATH}\nexport PS1='\\u@\\h:\\w\\$ '\n`,
    'etc/resolv.conf': '',
  };
}
