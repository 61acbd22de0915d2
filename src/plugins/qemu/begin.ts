import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { chmod, chown } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { type CallOptions, raceSignal, throwIfAborted } from '../../core/calls.js';
import { UndoStack } from '../../core/undo.js';
import { type RunAsUser, spawnConfined } from '../../host/confined-spawn.js';
import type { GivenVm } from '../../host/head-start-given.js';
import { APPEND } from '../../host/launch-recipe.js';
import { ownChild } from '../../host/own-child.js';
import { killProcess } from '../../host/process.js';
import { checkReadable, chooseUser } from '../../host/vmm/run-as.js';
import { childProcess, type VmProcess } from '../../host/vmm/vm-process.js';
import { type BeginRequest, commandOf, SOCKETS_FLAGS } from './command.js';
import { KVM_DEVICE } from './kvm/device.js';
import type { PlanRequest } from './machine-plan.js';
import { QemuRunDir } from './qemu-run-dir.js';
import { checkDisk } from './storage.js';
import type { CloneMemory } from './template/memory.js';
import { markUnsaved } from './template/paths.js';
import { startShare } from './virtiofsd.js';
import type { RecordData } from './vm-record.js';

/** A QEMU that has been started and is about to connect to us. */
export interface Begun {
  readonly runDir: QemuRunDir;
  /** Of all that has been done so far. */
  readonly undo: UndoStack;
  readonly user: RunAsUser | undefined;
  readonly listener: Listener;
  readonly process: VmProcess;
  readonly data: RecordData;
  /** The caller closes it when the guest runs. */
  readonly memory: CloneMemory | undefined;
}

/** The first part of a launch, until QEMU is a process. All or nothing. */
export async function begin(request: BeginRequest): Promise<Begun> {
  const { spec, log, options, signal } = request;
  const runDir = new QemuRunDir(spec.runDir);
  runDir.checkLength();
  checkReadable('kernelPath', spec.kernelPath, undefined);
  checkReadable('initramfsPath', spec.initramfsPath, undefined);
  const undo = new UndoStack();
  let memory: CloneMemory | undefined;
  try {
    await runDir.claim(spec.id);
    undo.pushWhenClean('files of the VM', () => runDir.removeFiles());
    await runDir.makeSocketDir();
    if (spec.template?.role === 'source') await markUnsaved(runDir.path, spec.template.directory);
    const { accelerator } = request.acceleration;
    const device = accelerator === 'kvm' ? KVM_DEVICE : undefined;
    const { user, reason } = await chooseUser(options, runDir, request.tools.qemu, device);
    checkReadable('kernelPath', spec.kernelPath, user);
    checkReadable('initramfsPath', spec.initramfsPath, user);
    log.debug({ vm: spec.id, acceleration: request.acceleration, user, reason }, 'starting QEMU');
    const listener = await listenOnce(runDir.launchSocket, user);
    undo.push('listening socket', async () => listener.destroy());
    for (const [index, share] of spec.shares.entries()) {
      const where = { runDir: runDir.path, socketPath: runDir.shareSocket(index), user };
      // Undone with the files of the VM.
      await startShare(share, index, where, await request.shareTools(), spec.detached, { signal });
    }
    throwIfAborted(signal, `launch of VM ${spec.id}`);
    memory = request.template?.memory(user);
    const { process, data } = await start(request, runDir, user, memory);
    undo.push('QEMU', (call) => endQemu(process, call));
    await runDir.recordProcess(spec.id, process.identity);
    return { runDir, undo, user, listener, process, data, memory };
  } catch (error) {
    memory?.close();
    throw await undo.fail('VM_HYPERVISOR_FAILED', `VM ${spec.id} was not started, nor wholly undone`, error);
  }
}

/**
 * One that the launcher has begun by the recipe of head-start.ts; it stands for all that is in `given` from then on.
 * @throws what it has of that by then is its caller's.
 */
export async function takeOver(request: PlanRequest, given: GivenVm): Promise<Begun> {
  const { spec } = request;
  const runDir = new QemuRunDir(spec.runDir);
  const undo = new UndoStack();
  undo.pushWhenClean('files of the VM', () => runDir.removeFiles());
  const process = childProcess(ownChild(given.pid, given.stderrFd), undefined);
  const listener = await takeOne({ fd: given.socketFd });
  undo.push('listening socket', async () => listener.destroy());
  undo.push('QEMU', (call) => endQemu(process, call));
  await runDir.recordProcess(spec.id, process.identity);
  // The recipe has made the console's file.
  const user = given.uid === undefined ? undefined : { uid: given.uid, gid: given.uid, groups: [] };
  return { runDir, undo, user, listener, process, data: recordOf(request, 0), memory: undefined };
}

async function endQemu({ identity, exited }: VmProcess, call: CallOptions): Promise<void> {
  await killProcess(identity, call);
  await raceSignal(exited, call.signal, `end of QEMU ${identity.pid}`);
}

function recordOf({ spec, options, acceleration }: PlanRequest, consoleStart: number): RecordData {
  return {
    machine: options.machine,
    accelerator: acceleration.accelerator,
    slots: spec.nics.length + spec.hotplugNicSlots,
    channels: [...spec.channels],
    consoleLogPath: spec.consoleLogPath,
    consoleStart,
    detached: spec.detached,
    nicDefaults: true,
  };
}

/** QEMU itself, from its descriptors to the record of what it is. */
async function start(
  request: BeginRequest,
  runDir: QemuRunDir,
  user: RunAsUser | undefined,
  memory: CloneMemory | undefined,
) {
  const { spec, template } = request;
  const open: number[] = [];
  const keep = (path: string, flags: number, mode?: number) => {
    const fd = openSync(path, flags, mode);
    open.push(fd);
    return fd;
  };
  try {
    // By descriptor: the user that QEMU runs as need not be able to reach the paths.
    const sockets = keep(runDir.sockets, SOCKETS_FLAGS);
    const console = keep(spec.consoleLogPath, APPEND, 0o600);
    const consoleStart = fstatSync(console).size;
    const taps = spec.nics.flatMap(({ endpoint }) => (endpoint.kind === 'tap-fd' ? endpoint.fds : []));
    const disks = spec.disks.map(({ path, readOnly }) => keep(path, readOnly ? constants.O_RDONLY : constants.O_RDWR));
    const boot = [keep(spec.kernelPath, constants.O_RDONLY), keep(spec.initramfsPath, constants.O_RDONLY)];
    const saved = template?.fds(memory);
    open.push(...(saved?.own ?? []));
    const fds = [sockets, console, ...boot, ...taps, ...disks, ...(saved?.fds ?? [])];
    const stderrFd = spec.detached ? keep(runDir.stderrFile, APPEND | constants.O_TRUNC, 0o600) : undefined;
    const argv = commandOf(request, runDir, user, await largestFile(request));
    const child = await spawnConfined(argv, { stderrFd, fds });
    const data = {
      ...recordOf(request, consoleStart),
      ...(spec.template?.role === 'source' && template
        ? { template: { directory: spec.template.directory, key: template.key } }
        : {}),
    };
    return { process: childProcess(child, spec.detached ? runDir.stderrFile : undefined), data };
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

/** What bounds the console log bounds all that QEMU writes to: its disks, and the memory that it shares with virtiofsd. */
export async function largestFile({ spec, options }: PlanRequest): Promise<number> {
  const growth = await Promise.all(spec.disks.map((disk, index) => checkDisk(disk, index)));
  const writable = growth.filter((_, index) => !spec.disks[index]?.readOnly);
  const memoryMib = spec.shares.length > 0 ? spec.memoryMib : 0;
  return Math.max(Math.max(options.consoleLogMaxMib, memoryMib) * 1024 * 1024, ...writable);
}

export interface Listener {
  readonly connection: Promise<Socket>;
  /** Takes no more connections. Idempotent. */
  close(): void;
  /** And ends the one there was. */
  destroy(): void;
}

/**
 * QEMU connects to us and not we to it, for two reasons. Nobody has to poll for its socket; and a QEMU whose manager died
 * before the death signal was set finds nobody listening, and ends.
 */
async function listenOnce(path: string, user: RunAsUser | undefined): Promise<Listener> {
  const listener = await takeOne({ path });
  if (user) await chown(path, user.uid, user.gid);
  await chmod(path, 0o600);
  return listener;
}

async function takeOne(where: { readonly path: string } | { readonly fd: number }): Promise<Listener> {
  const server = createServer();
  let taken: Socket | undefined;
  const connection = new Promise<Socket>((resolve) => {
    server.once('connection', (socket: Socket) => {
      taken = socket;
      socket.on('error', () => {});
      resolve(socket);
    });
  });
  server.maxConnections = 1;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, resolve);
  });
  const close = () => void server.close();
  return {
    connection,
    close,
    destroy() {
      close();
      taken?.destroy();
    },
  };
}
