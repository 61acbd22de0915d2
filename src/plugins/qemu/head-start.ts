import { constants } from 'node:fs';
import type { VmSpec } from '../../core/hypervisor.js';
import { type RunAsUser, usableLauncher } from '../../host/confined-spawn.js';
import { type Beginner, NOBODYS_LOG } from '../../host/head-start.js';
import { APPEND, type Step, startStep, uidStep } from '../../host/launch-recipe.js';
import { type Begun, begin, largestFile, takeOver } from './begin.js';
import { type BeginRequest, commandOf, SOCKETS_FLAGS } from './command.js';
import { type Connected, connect, disconnect, goOn } from './connect.js';
import type { QemuRunDir } from './qemu-run-dir.js';
import { templateParts } from './template/descriptors.js';
import { TemplateMemory } from './template/memory.js';

/** What a launch follows from, as plain data. */
export type Ahead = Pick<BeginRequest, 'spec' | 'options' | 'tools' | 'acceleration'>;

export interface BegunAhead extends Begun {
  /** A clone's guest: it runs when this resolves. undefined: one that boots, or for the launch to let run. */
  readonly goesOn?: Promise<Connected>;
}

export const aheadOf = ({ spec, options, tools, acceleration }: Ahead): Ahead => ({
  spec,
  options,
  tools,
  acceleration,
});

/** It ends with its manager, becomes nobody's template, and takes nothing of the host that others may want. */
export const mayBeAhead = ({ detached, disks, shares, template, nics }: VmSpec): boolean =>
  !detached &&
  disks.length === 0 &&
  shares.length === 0 &&
  template?.role !== 'source' &&
  nics.every(({ endpoint }) => endpoint.kind === 'builtin' && endpoint.forwards.length === 0);

export const beginner: Beginner<Ahead> = { begin: beginAhead, takeOver };

/** The first part of a launch, whose guest does not wait for the rest. */
async function beginAhead(ahead: Ahead, signal: AbortSignal): Promise<BegunAhead> {
  const { template } = ahead.spec;
  const begun = await begin({
    ...ahead,
    shareTools: () => Promise.reject(new TypeError('no shares')),
    template:
      template?.role === 'clone' ? templateParts(ahead.spec, template.saved.key, new TemplateMemory()) : undefined,
    runs: template === undefined,
    log: NOBODYS_LOG,
    signal,
  });
  return template ? { ...begun, memory: undefined, goesOn: goOnAhead(ahead, begun) } : begun;
}

/** Whoever takes it waits for it; where nobody does, it ends with what was begun. */
function goOnAhead(ahead: Ahead, begun: Begun): Promise<Connected> {
  const { undo, memory } = begun;
  const abandoned = new AbortController();
  const goesOn = (async () => {
    try {
      const connected = await connect(ahead, begun, abandoned.signal);
      try {
        await goOn(ahead, memory, connected.qmp, abandoned.signal);
        return connected;
      } catch (error) {
        disconnect(connected);
        throw error;
      }
    } finally {
      memory?.close();
    }
  })();
  goesOn.catch(() => {});
  undo.push('what it was told ahead', async () => {
    abandoned.abort();
    await goesOn.then(disconnect, () => {});
  });
  return goesOn;
}

/** How the launcher begins such a VM, as begin() does. undefined: it cannot. */
export async function recipeOf(
  request: Ahead,
  runDir: QemuRunDir,
  user: RunAsUser | undefined,
): Promise<Step[] | undefined> {
  const { spec, options } = request;
  const { uidRange, runAs } = options;
  if (usableLauncher(spec.launcherPath) === undefined || spec.template) return undefined;
  if (user && (runAs !== 'auto' || user.groups.length > 0)) return undefined;
  const images = [spec.kernelPath, spec.initramfsPath];
  return [
    ['directory', runDir.sockets],
    ...(user ? [uidStep(runDir.sockets, uidRange)] : []),
    ...images.map((path): Step => ['readable', path]),
    ['socket', runDir.launchSocket, 'stream'],
    ['open', runDir.sockets, SOCKETS_FLAGS],
    ['open', spec.consoleLogPath, APPEND],
    ...images.map((path): Step => ['open', path, constants.O_RDONLY]),
    startStep(commandOf({ ...request, runs: true }, runDir, user, await largestFile(request)), user?.uid),
  ];
}
