import { access, mkdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Programs that can be provided, and the Debian packages that hold them. Package names are those of Debian 12 and 13. */
export interface ToolSource {
  readonly packages: readonly string[];
  /** Path below the unpacked root. */
  readonly program: string;
  /** Where else it may be, for what is in no PATH. */
  readonly folder?: string;
  /** Where later versions of Debian have it. */
  readonly later?: ToolSource;
  /** Changes the unpacked tree. */
  readonly finish?: (root: string) => Promise<void>;
}

export const TOOL_SOURCES: Readonly<Record<string, ToolSource>> = {
  'qemu-system-x86_64': { packages: ['qemu-system-x86'], program: 'usr/bin/qemu-system-x86_64' },
  'linux.uml': { packages: ['user-mode-linux'], program: 'usr/bin/linux.uml' },
  slirp4netns: { packages: ['slirp4netns'], program: 'usr/bin/slirp4netns' },
  gcc: { packages: ['gcc', 'libc6-dev', 'binutils'], program: 'usr/bin/gcc', finish: linkMachineRuntime },
  clang: { packages: ['clang', 'libc6-dev', 'binutils'], program: 'usr/bin/clang', finish: linkMachineRuntime },
  lz4: { packages: ['lz4'], program: 'usr/bin/lz4' },
  xz: { packages: ['xz-utils'], program: 'usr/bin/xz' },
  zstd: { packages: ['zstd'], program: 'usr/bin/zstd' },
  'iptables-save': { packages: ['iptables'], program: 'usr/sbin/iptables-save' },
  'iptables-restore': { packages: ['iptables'], program: 'usr/sbin/iptables-restore' },
  'ip6tables-save': { packages: ['iptables'], program: 'usr/sbin/ip6tables-save' },
  'ip6tables-restore': { packages: ['iptables'], program: 'usr/sbin/ip6tables-restore' },
  // Up to Debian 12 a part of QEMU's, since then a package of its own.
  virtiofsd: {
    packages: ['qemu-system-common'],
    program: 'usr/lib/qemu/virtiofsd',
    folder: 'usr/libexec',
    later: { packages: ['virtiofsd'], program: 'usr/libexec/virtiofsd' },
  },
  mksquashfs: { packages: ['squashfs-tools'], program: 'usr/bin/mksquashfs' },
  sqfstar: { packages: ['squashfs-tools'], program: 'usr/bin/sqfstar' },
  'mkfs.ext4': { packages: ['e2fsprogs'], program: 'sbin/mkfs.ext4', folder: 'usr/sbin' },
  busybox: { packages: ['busybox-static'], program: 'bin/busybox' },
};

/** What programs are linked to in the tree is the machine's libc and libgcc, which they then run with. */
async function linkMachineRuntime(root: string): Promise<void> {
  const folder = '/lib/x86_64-linux-gnu';
  const names = [
    'libc.so.6',
    'libm.so.6',
    'libmvec.so.1',
    'libpthread.so.0',
    'libdl.so.2',
    'librt.so.1',
    'libgcc_s.so.1',
  ];
  for (const path of [...names.map((name) => join(folder, name)), '/lib64/ld-linux-x86-64.so.2']) {
    const link = join(root, path);
    if (!(await exists(path)) || (await exists(link))) continue;
    await mkdir(dirname(link), { recursive: true });
    await symlink(path, link);
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
