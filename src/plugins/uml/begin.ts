import { closeSync, constants, fstatSync, openSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type CallOptions, throwIfAborted } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { VmSpec } from '../../core/hypervisor.js';
import type { PluginLogger } from '../../core/plugin.js';
import { UndoStack } from '../../core/undo.js';
import { type ConfinementTools, confinedArgv, type RunAsUser, spawnConfined } from '../../host/confined-spawn.js';
import { killProcess } from '../../host/process.js';
import type { Tool } from '../../host/tools.js';
import { checkReadable, chooseUser } from '../../host/vmm/run-as.js';
import { childProcess, type VmProcess } from '../../host/vmm/vm-process.js';
import { type NamespaceTools, namespaceArgs, umlArgs } from './argv.js';
import { makeFifos } from './fifo-channel.js';
import { modulesFor, withModules } from './modules.js';
import { NotificationSource } from './notification-source.js';
import type { UmlOptions } from './options.js';
import { umlProcess } from './start-up-words.js';
import { openDisks } from './storage.js';
import { markerVariable, SOCKETS_FD, UmlRunDir } from './uml-run-dir.js';

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

/** A User Mode Linux that has been started. */
export interface Begun {
  readonly runDir: UmlRunDir;
  /** Of all that has been done so far. */
  readonly undo: UndoStack;
  readonly user: RunAsUser | undefined;
  readonly notifications: NotificationSource;
  /** unshare, which is our child. */
  readonly process: VmProcess;
  /** Rejects when it ends, with its last words. */
  readonly early: Promise<never>;
  /** Size of the console log before it. */
  readonly consoleStart: number;
}

const MIB = 1024 * 1024;
/** Up to 1 GiB has been seen. */
const MEMORY_FILE_SLACK_MIB = 4096;
/** What UML makes a file of there: the guest's memory. */
const MEMORY_DIRECTORY = '/dev/shm';
const KILL_POLL_MS = 20;

/** The first part of a launch, until there is a process. All or nothing. */
export async function begin(request: BeginRequest): Promise<Begun> {
  const { spec, options, log, signal } = request;
  const runDir = new UmlRunDir(spec.runDir);
  runDir.checkLength();
  const initramfs = initramfsOf(spec);
  checkReadable(initramfs.field, initramfs.path, undefined);
  checkMemory(spec.memoryMib);
  const undo = new UndoStack();
  try {
    await runDir.claim(spec.id);
    undo.pushWhenClean('files of the VM', () => runDir.removeFiles());
    await runDir.makeSocketDir();
    const { user, reason } = await chooseUser(options, runDir, request.tools.uml);
    checkReadable(initramfs.field, initramfs.path, user);
    log.debug({ vm: spec.id, user, reason }, 'starting User Mode Linux');
    const notifications = await NotificationSource.open(runDir.notifySocket, user);
    undo.push('socket for notifications', async () => notifications.close());
    throwIfAborted(signal, `launch of VM ${spec.id}`);
    const disks = await openDisks(spec.disks, user, runDir.loanFile);
    const { outer: process, consoleStart } = await start(request, runDir, user, disks);
    const early = endedEarly(spec, process);
    undo.push('User Mode Linux', async (call) => {
      await killProcess(process.identity, call);
      // unshare(1) that ends just as it has forked leaves the namespace, which then holds its standard error open; a process in
      // the midst of execve(2) shows no arguments, and is found a moment later.
      const ended = process.exited.then(() => true);
      do {
        throwIfAborted(call.signal, `end of process ${process.identity.pid}`);
        await killTree(runDir, call);
      } while (!(await Promise.race([ended, delay(KILL_POLL_MS)])));
    });
    await runDir.recordProcess(spec.id, process.identity);
    return { runDir, undo, user, notifications, process, early, consoleStart };
  } catch (error) {
    throw await undo.fail('VM_HYPERVISOR_FAILED', `VM ${spec.id} was not started, nor wholly undone`, error);
  }
}

/** Sizes of the disks that it writes to. */
export const writtenBytes = ({ disks }: VmSpec) =>
  disks.filter(({ readOnly }) => !readOnly).map(({ path }) => statSync(path).size);

/** UML is a kernel itself: modules of another would only cost it the time to read them. */
function initramfsOf({ initramfsPath, bareInitramfsPath }: VmSpec): { readonly field: string; readonly path: string } {
  return bareInitramfsPath === undefined
    ? { field: 'initramfsPath', path: initramfsPath }
    : { field: 'bareInitramfsPath', path: bareInitramfsPath };
}

/** Ends every process that names this directory; the first of the namespace takes all others with it. */
export async function killTree(runDir: UmlRunDir, call: CallOptions): Promise<void> {
  for (let found = runDir.findProcess(); found; found = runDir.findProcess()) await killProcess(found, call);
}

/** @param disks their descriptors, which are closed. */
async function start(request: BeginRequest, runDir: UmlRunDir, user: RunAsUser | undefined, disks: readonly number[]) {
  const { spec, options, tools, log, signal } = request;
  const open = [...disks];
  const keep = (fd: number) => {
    open.push(fd);
    return fd;
  };
  try {
    const { O_RDONLY, O_DIRECTORY, O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_TRUNC } = constants;
    const append = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW;
    let { path: initramfsPath } = initramfsOf(spec);
    const modules = modulesFor(spec);
    if (modules.length > 0) {
      const merged = await withModules(initramfsPath, tools.uml, modules, runDir.initramfsFile, { signal });
      if (merged) initramfsPath = runDir.initramfsFile;
      else log.warn({ vm: spec.id }, `User Mode Linux came without its modules: no ${modules.join(', no ')}`);
    }
    keep(openSync(runDir.sockets, O_RDONLY | O_DIRECTORY));
    const console = keep(openSync(spec.consoleLogPath, append, 0o600));
    const consoleStart = fstatSync(console).size;
    keep(openSync(initramfsPath, O_RDONLY));
    for (const index of spec.channels.keys()) for (const fd of makeFifos(runDir.channelFifos(index))) keep(fd);
    const fds = [...open.slice(disks.length), ...disks];
    const stderrFd = spec.detached ? keep(openSync(runDir.stderrFile, append | O_TRUNC, 0o600)) : undefined;
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
    const argv = confinedArgv(tools, [tools.uml.path, ...umlArgs(plan)], {
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
    const child = await spawnConfined(argv, { stderrFd, fds });
    const outer = umlProcess(childProcess(child, spec.detached ? runDir.stderrFile : undefined));
    return { outer, consoleStart };
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

/** Rejects when it ends, with its last words. */
function endedEarly(spec: VmSpec, outer: VmProcess): Promise<never> {
  const early = outer.exited.then(async ({ exitCode, signal: killer }): Promise<never> => {
    const stderrTail = await outer.stderrTail();
    const how = killer === null ? `exit code ${exitCode}` : `killed by ${killer}`;
    const words = stderrTail.trim().split('\n').slice(-3).join(' / ');
    throw new HyperplugError('VM_HYPERVISOR_FAILED', `UML of VM ${spec.id} ended early (${how}): ${words}`, {
      details: { id: spec.id, exitCode, signal: killer, stderrTail },
    });
  });
  early.catch(() => {});
  return early;
}

/** @throws VM_HYPERVISOR_FAILED: a guest that touches memory for which there is no room dies of it. */
function checkMemory(memoryMib: number): void {
  const stats = statfsSync(MEMORY_DIRECTORY);
  const freeMib = Math.floor((stats.bavail * stats.bsize) / MIB);
  if (freeMib >= memoryMib) return;
  throw new HyperplugError(
    'VM_HYPERVISOR_FAILED',
    `${MEMORY_DIRECTORY}, where User Mode Linux keeps a guest's memory, has ${freeMib} MiB free; the VM has ${memoryMib}`,
    { details: { freeMib, memoryMib } },
  );
}
