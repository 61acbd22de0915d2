import { closeSync, constants, fstatSync, openSync, statfsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type CallOptions, throwIfAborted } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { VmSpec } from '../../core/hypervisor.js';
import { UndoStack } from '../../core/undo.js';
import { type RunAsUser, spawnConfined } from '../../host/confined-spawn.js';
import type { GivenVm } from '../../host/head-start-given.js';
import { APPEND } from '../../host/launch-recipe.js';
import { ownChild } from '../../host/own-child.js';
import { killProcess } from '../../host/process.js';
import { checkReadable, chooseUser } from '../../host/vmm/run-as.js';
import { childProcess, type VmProcess } from '../../host/vmm/vm-process.js';
import { type BeginRequest, commandOf, initramfsOf, SOCKETS_FLAGS } from './command.js';
import { makeFifos } from './fifo-channel.js';
import { modulesFor, withModules } from './modules.js';
import { NotificationSource } from './notification-source.js';
import { type BegunSlirp, beginSlirp, type SlirpRecipe } from './slirp-process.js';
import { umlProcess } from './start-up-words.js';
import { openDisks } from './storage.js';
import { UmlRunDir } from './uml-run-dir.js';

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
  /** For its first NIC, which is not known yet. */
  readonly slirp?: BegunSlirp | undefined;
}

const MIB = 1024 * 1024;
/** What UML makes a file of there: the guest's memory. */
export const MEMORY_DIRECTORY = '/dev/shm';
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
    undo.push('User Mode Linux', (call) => endUml(runDir, process, call));
    await runDir.recordProcess(spec.id, process.identity);
    return { runDir, undo, user, notifications, process, early, consoleStart };
  } catch (error) {
    throw await undo.fail('VM_HYPERVISOR_FAILED', `VM ${spec.id} was not started, nor wholly undone`, error);
  }
}

/**
 * One that the launcher has begun by the recipe of head-start.ts; it stands for all that is in `given` from then on.
 * @param note what the user-mode network of such a VM's first NIC was started with.
 * @throws what it has of that by then is its caller's.
 */
export async function takeOver(
  { spec }: Pick<BeginRequest, 'spec'>,
  given: GivenVm,
  note: string | undefined,
): Promise<Begun> {
  const runDir = new UmlRunDir(spec.runDir);
  const user = given.uid === undefined ? undefined : { uid: given.uid, gid: given.uid, groups: [] };
  const undo = new UndoStack();
  undo.pushWhenClean('files of the VM', () => runDir.removeFiles());
  const process = umlProcess(childProcess(ownChild(given.pid, given.stderrFd), undefined));
  const notifications = NotificationSource.given(runDir.notifySocket, given.socketFd);
  undo.push('socket for notifications', async () => notifications.close());
  const early = endedEarly(spec, process);
  undo.push('User Mode Linux', (call) => endUml(runDir, process, call));
  const recipe = note === undefined ? undefined : (JSON.parse(note) as SlirpRecipe);
  const slirp = recipe && beginSlirp(recipe, { runDir, user: user ?? null }, process.identity);
  await runDir.recordProcess(spec.id, process.identity);
  // The recipe has made the console's file.
  return { runDir, undo, user, notifications, process, early, consoleStart: 0, slirp };
}

async function endUml(runDir: UmlRunDir, process: VmProcess, call: CallOptions): Promise<void> {
  await killProcess(process.identity, call);
  // unshare(1) that ends just as it has forked leaves the namespace, which then holds its standard error open; a process in
  // the midst of execve(2) shows no arguments, and is found a moment later.
  const ended = process.exited.then(() => true);
  do {
    throwIfAborted(call.signal, `end of process ${process.identity.pid}`);
    await killTree(runDir, call);
  } while (!(await Promise.race([ended, delay(KILL_POLL_MS)])));
}

/** Ends every process that names this directory; the first of the namespace takes all others with it. */
export async function killTree(runDir: UmlRunDir, call: CallOptions): Promise<void> {
  for (let found = runDir.findProcess(); found; found = runDir.findProcess()) await killProcess(found, call);
}

/** @param disks their descriptors, which are closed. */
async function start(request: BeginRequest, runDir: UmlRunDir, user: RunAsUser | undefined, disks: readonly number[]) {
  const { spec, tools, log, signal } = request;
  const open = [...disks];
  const keep = (fd: number) => {
    open.push(fd);
    return fd;
  };
  try {
    let { path: initramfsPath } = initramfsOf(spec);
    const modules = modulesFor(spec);
    if (modules.length > 0) {
      const merged = await withModules(initramfsPath, tools.uml, modules, runDir.initramfsFile, { signal });
      if (merged) initramfsPath = runDir.initramfsFile;
      else log.warn({ vm: spec.id }, `User Mode Linux came without its modules: no ${modules.join(', no ')}`);
    }
    keep(openSync(runDir.sockets, SOCKETS_FLAGS));
    const console = keep(openSync(spec.consoleLogPath, APPEND, 0o600));
    const consoleStart = fstatSync(console).size;
    keep(openSync(initramfsPath, constants.O_RDONLY));
    for (const index of spec.channels.keys()) for (const fd of makeFifos(runDir.channelFifos(index))) keep(fd);
    const fds = [...open.slice(disks.length), ...disks];
    const stderrFd = spec.detached ? keep(openSync(runDir.stderrFile, APPEND | constants.O_TRUNC, 0o600)) : undefined;
    const argv = commandOf(request, runDir, user);
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
