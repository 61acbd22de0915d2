import { constants } from 'node:fs';
import type { VmSpec } from '../../core/hypervisor.js';
import { type RunAsUser, usableLauncher } from '../../host/confined-spawn.js';
import { type Beginner, NOBODYS_LOG } from '../../host/head-start.js';
import { APPEND, type Step, startStep, uidStep } from '../../host/launch-recipe.js';
import { begin, MEMORY_DIRECTORY, takeOver } from './begin.js';
import { type BeginRequest, commandOf, initramfsOf, SOCKETS_FLAGS } from './command.js';
import { modulesFor } from './modules.js';
import type { UmlRunDir } from './uml-run-dir.js';

/** What a launch follows from, as plain data. */
export type Ahead = Pick<BeginRequest, 'spec' | 'options' | 'tools'>;

export const aheadOf = ({ spec, options, tools }: Ahead): Ahead => ({ spec, options, tools });

/** It ends with its manager, and takes nothing of the host that others may want. */
export const mayBeAhead = ({ detached, disks }: VmSpec): boolean => !detached && disks.length === 0;

export const beginner: Beginner<Ahead> = {
  begin: (ahead, signal) => begin({ ...ahead, log: NOBODYS_LOG, signal }),
  takeOver,
};

/** How the launcher begins such a VM, as begin() does. undefined: it cannot. */
export function recipeOf(request: BeginRequest, runDir: UmlRunDir, user: RunAsUser | undefined): Step[] | undefined {
  const { spec, options } = request;
  const { uidRange, runAs } = options;
  if (usableLauncher(spec.launcherPath) === undefined || modulesFor(spec).length > 0) return undefined;
  if (user && (runAs !== 'auto' || user.groups.length > 0)) return undefined;
  const { path: initramfs } = initramfsOf(spec);
  const fifos = [...spec.channels.keys()].map((index) => runDir.channelFifos(index));
  return [
    ['room', MEMORY_DIRECTORY, spec.memoryMib],
    ['directory', runDir.sockets],
    ...(user ? [uidStep(runDir.sockets, uidRange)] : []),
    ['readable', initramfs],
    ['socket', runDir.notifySocket, 'datagram'],
    ['open', runDir.sockets, SOCKETS_FLAGS],
    ['open', spec.consoleLogPath, APPEND],
    ['open', initramfs, constants.O_RDONLY],
    ...fifos.flatMap(({ toGuest, fromGuest }): Step[] => [
      ['fifo', toGuest],
      ['fifo', fromGuest],
    ]),
    startStep(commandOf(request, runDir, user), user?.uid),
  ];
}
