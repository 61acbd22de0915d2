/** Programs that can be provided, and the Debian packages that hold them. Package names are those of Debian 12 and 13. */
export interface ToolSource {
  readonly packages: readonly string[];
  /** Path below the unpacked root. */
  readonly program: string;
}

export const TOOL_SOURCES: Readonly<Record<string, ToolSource>> = {
  'qemu-system-x86_64': { packages: ['qemu-system-x86'], program: 'usr/bin/qemu-system-x86_64' },
  gcc: { packages: ['gcc', 'libc6-dev', 'binutils'], program: 'usr/bin/gcc' },
  clang: { packages: ['clang', 'libc6-dev', 'binutils'], program: 'usr/bin/clang' },
  lz4: { packages: ['lz4'], program: 'usr/bin/lz4' },
  xz: { packages: ['xz-utils'], program: 'usr/bin/xz' },
  zstd: { packages: ['zstd'], program: 'usr/bin/zstd' },
  'iptables-save': { packages: ['iptables'], program: 'usr/sbin/iptables-save' },
  'iptables-restore': { packages: ['iptables'], program: 'usr/sbin/iptables-restore' },
  'ip6tables-save': { packages: ['iptables'], program: 'usr/sbin/ip6tables-save' },
  'ip6tables-restore': { packages: ['iptables'], program: 'usr/sbin/ip6tables-restore' },
  busybox: { packages: ['busybox-static'], program: 'bin/busybox' },
};
