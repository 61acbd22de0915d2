import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { arch, cpus, release, totalmem } from 'node:os';
import { delimiter, join } from 'node:path';
import type { BenchResult } from './result.js';

export const CNI_DIRECTORY = '/usr/lib/cni';

/** What says of itself which version it is. */
const PROGRAMS: readonly (readonly [name: string, program: string, ...argv: string[]])[] = [
  ['QEMU', 'qemu-system-x86_64', '--version'],
  ['User Mode Linux', 'linux.uml', '--version'],
  ['libvirt', 'libvirtd', '--version'],
  ['CNI plugins', `${CNI_DIRECTORY}/bridge`],
  ['iptables', 'iptables', '--version'],
  ['iproute2', 'ip', '-V'],
  ['cc', 'cc', '-dumpfullversion'],
];

/** Where a program of PATH is. */
export function findProgram(name: string): string | undefined {
  if (name.startsWith('/')) return existsSync(name) ? name : undefined;
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.map((folder) => join(folder, name)).find(existsSync);
}

export function describeMachine(): Pick<BenchResult, 'machine' | 'versions'> {
  const versions: Record<string, string> = { Node: process.versions.node };
  for (const [name, program, ...argv] of PROGRAMS) {
    const path = findProgram(program);
    const version = path && versionOf(path, argv);
    if (version) versions[name] = version;
  }
  const cpu = cpus()[0]?.model ?? arch();
  return {
    machine: { cpu, cpus: cpus().length, memoryMib: Math.round(totalmem() / 2 ** 20), kernel: release() },
    versions,
  };
}

function versionOf(program: string, argv: readonly string[]): string | undefined {
  const { stdout, stderr } = spawnSync(program, argv, {
    encoding: 'utf8',
    timeout: 10_000,
    env: { PATH: process.env.PATH },
  });
  return /\d+(?:\.\d+)+/.exec(`${stdout}${stderr}`)?.[0];
}
