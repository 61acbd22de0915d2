import { constants, statSync } from 'node:fs';
import { join } from 'node:path';
import type { VmSpec } from '../../core/hypervisor.js';
import type { PluginLogger } from '../../core/plugin.js';
import { type ConfinementTools, confinedArgv, type RunAsUser, usableLauncher } from '../../host/confined-spawn.js';
import type { Tool } from '../../host/tools.js';
import { type NamespaceTools, namespaceArgs, umlArgs } from './argv.js';
import type { UmlOptions } from './options.js';
import { markerVariable, SOCKETS_FD, type UmlRunDir } from './uml-run-dir.js';

export interface LaunchTools extends ConfinementTools, NamespaceTools {
  readonly uml: Tool;
}

export interface BeginRequest {
  readonly spec: VmSpec;
  readonly options: UmlOptions;
  readonly tools: LaunchTools;
  readonly log: PluginLogger;
  readonly signal: AbortSignal;
}

const MIB = 1024 * 1024;
/** Up to 1 GiB has been seen. */
const MEMORY_FILE_SLACK_MIB = 4096;

/** Of the directory that is its first descriptor. */
export const SOCKETS_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY;

/** Sizes of the disks that it writes to. */
export const writtenBytes = ({ disks }: VmSpec) =>
  disks.filter(({ readOnly }) => !readOnly).map(({ path }) => statSync(path).size);

/** UML is a kernel itself: modules of another would only cost it the time to read them. */
export function initramfsOf({ initramfsPath, bareInitramfsPath }: VmSpec): {
  readonly field: string;
  readonly path: string;
} {
  return bareInitramfsPath === undefined
    ? { field: 'initramfsPath', path: initramfsPath }
    : { field: 'bareInitramfsPath', path: bareInitramfsPath };
}

/**
 * What runs it, with descriptors from SOCKETS_FD on: the directory of its sockets, its console, its initramfs, of each serial line
 * the two, the disks.
 */
export function commandOf(request: BeginRequest, runDir: UmlRunDir, user: RunAsUser | undefined): string[] {
  const { spec, options, tools } = request;
  const first = SOCKETS_FD + 3;
  const firstDisk = first + 2 * spec.channels.length;
  const plan = {
    memoryMib: spec.memoryMib,
    tuning: options.kernelTuning,
    fds: {
      sockets: SOCKETS_FD,
      console: SOCKETS_FD + 1,
      initramfs: SOCKETS_FD + 2,
      channels: spec.channels.map((_, index) => [first + 2 * index, first + 2 * index + 1] as const),
    },
    disks: spec.disks.map(({ id, readOnly }, index) => ({ id, readOnly, fd: firstDisk + index })),
    hostfs: join(runDir.path, 'none'),
    kernelArgs: spec.kernelArgs,
  };
  const confining = { ...tools, launcher: usableLauncher(spec.launcherPath) };
  return confinedArgv(confining, [tools.uml.path, ...umlArgs(plan)], {
    dieWithParent: !spec.detached,
    root: process.getuid?.() === 0,
    user,
    // Who is root here maps itself as root in the namespace below (user_namespaces(7), since Linux 5.12).
    keepCapabilities: user ? [] : ['setfcap'],
    // Its memory is a file, too, and larger than the memory by what the kernel's randomisation leaves free.
    maxFileBytes: Math.max(
      Math.max(options.consoleLogMaxMib, spec.memoryMib + MEMORY_FILE_SLACK_MIB) * MIB,
      ...writtenBytes(spec),
    ),
    within: namespaceArgs(tools),
    env: { ...tools.uml.env, ...markerVariable(runDir.marker(spec.id)) },
  });
}
