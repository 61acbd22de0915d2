import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { chmod, chown } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { type CallOptions, raceSignal, throwIfAborted, withDeadline } from '../../core/calls.js';
import { HyperplugError, hasCode, isHyperplugError } from '../../core/errors.js';
import type { VmSpec } from '../../core/hypervisor.js';
import type { PluginLogger } from '../../core/plugin.js';
import { UndoStack } from '../../core/undo.js';
import { staleTemplate } from '../../core/vm/check-template.js';
import { type ConfinementTools, confinedArgv, type RunAsUser, spawnConfined } from '../../host/confined-spawn.js';
import { killProcess } from '../../host/process.js';
import type { Tool } from '../../host/tools.js';
import { explainForward, PRIVILEGED_PORTS } from '../../host/vmm/forwards.js';
import { checkReadable, chooseUser } from '../../host/vmm/run-as.js';
import { childProcess, type VmProcess } from '../../host/vmm/vm-process.js';
import { qemuArgs } from './argv.js';
import { forwardsNamed, tellsOfForward } from './forward-words.js';
import { type Acceleration, KVM_DEVICE } from './kvm/acceleration.js';
import { machinePlan } from './machine-plan.js';
import type { QemuOptions } from './options.js';
import { QemuRunDir } from './qemu-run-dir.js';
import { openSocket, QemuVm } from './qemu-vm.js';
import { QmpClient } from './qmp/client.js';
import { checkDisk } from './storage.js';
import { cloneMemory, templateFds } from './template/descriptors.js';
import { markUnsaved } from './template/files.js';
import type { CloneMemory, TemplateMemory } from './template/memory.js';
import { restore } from './template/restore.js';
import { type ShareTools, startShare } from './virtiofsd.js';

export interface LaunchTools extends ConfinementTools {
  readonly qemu: Tool;
}

/** Of a source or a clone. */
export interface TemplateRequest {
  /** HypervisorDriver.templateKey() of its specification. */
  readonly key: string;
  readonly memory: TemplateMemory;
}

export interface LaunchRequest {
  readonly spec: VmSpec;
  readonly options: QemuOptions;
  readonly tools: LaunchTools;
  readonly shareTools: () => Promise<ShareTools>;
  readonly acceleration: Acceleration;
  readonly template: TemplateRequest | undefined;
  readonly log: PluginLogger;
  readonly signal: AbortSignal;
}

/** All or nothing: on rejection no process, socket or file of ours remains. */
export async function launch(request: LaunchRequest): Promise<QemuVm> {
  const { spec, log, options, signal } = request;
  const runDir = new QemuRunDir(spec.runDir);
  runDir.checkLength();
  checkReadable('kernelPath', spec.kernelPath, undefined);
  checkReadable('initramfsPath', spec.initramfsPath, undefined);
  const undo = new UndoStack();
  let process: VmProcess | undefined;
  let memory: CloneMemory | undefined;
  try {
    await runDir.claim(spec.id);
    undo.pushWhenClean('files of the VM', () => runDir.removeFiles());
    await runDir.makeSocketDir();
    if (spec.template?.role === 'source') await markUnsaved(runDir.path, spec.template.directory);
    const { accelerator } = request.acceleration;
    const { user, reason } = await chooseUser(
      options,
      runDir,
      request.tools.qemu,
      accelerator === 'kvm' ? KVM_DEVICE : undefined,
    );
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
    memory = request.template && cloneMemory(spec, request.template.memory, user);
    const started = await start(request, runDir, user, memory);
    process = started.process;
    const { identity } = process;
    undo.push('QEMU', async (call) => {
      await killProcess(identity, call);
      await raceSignal(started.process.exited, call.signal, `end of QEMU ${identity.pid}`);
    });
    await runDir.recordProcess(spec.id, identity);
    const qmp = await greet(request, listener, process);
    undo.push('QMP connection', async () => qmp.close());
    const { qmpCommandTimeoutMs: commandTimeoutMs, nicDetachTimeoutMs: detachTimeoutMs } = options;
    const begun = new Map<string, Socket>();
    if (spec.template?.role === 'clone') {
      undo.push('channels', async () => begun.forEach((socket) => void socket.destroy()));
      await beginChannels(spec, runDir, begun, { signal });
    }
    const parts = { id: spec.id, runDir, process, qmp, data: started.data, commandTimeoutMs, detachTimeoutMs, begun };
    const vm = new QemuVm(parts);
    vm.nicPlug.coldplugged(spec.nics);
    await withDeadline(`start of VM ${spec.id}`, commandTimeoutMs, signal, async (call) => {
      await raceSignal(memory?.whole ?? Promise.resolve(), call.signal, 'memory of a template');
      if (spec.template?.role === 'clone') await restore(spec.template.directory, qmp, call);
      else await qmp.execute('cont', undefined, call);
    });
    listener.close();
    return vm;
  } catch (error) {
    throw await undo.fail(
      'VM_HYPERVISOR_FAILED',
      `VM ${spec.id} was not started, nor wholly undone`,
      await explain(error, spec, process),
    );
  } finally {
    memory?.close();
  }
}

/**
 * mallopt(3), "GLIBC_TUNABLES": QEMU makes and drops some ten MiB as it starts. In huge pages and few steps that takes a
 * fraction of the page faults. Other C libraries know nothing of it.
 */
const ALLOCATION = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.top_pad=16777216' };

/** QEMU itself, from its descriptors to the record of what it is. */
async function start(
  request: LaunchRequest,
  runDir: QemuRunDir,
  user: RunAsUser | undefined,
  memory: CloneMemory | undefined,
) {
  const { spec, options, acceleration, tools } = request;
  const open: number[] = [];
  const keep = (path: string, flags: number, mode?: number) => {
    const fd = openSync(path, flags, mode);
    open.push(fd);
    return fd;
  };
  try {
    // By descriptor: the user that QEMU runs as need not be able to reach the paths.
    const { O_RDONLY, O_DIRECTORY, O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_TRUNC } = constants;
    const append = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW;
    const sockets = keep(runDir.sockets, O_RDONLY | O_DIRECTORY);
    const console = keep(spec.consoleLogPath, append, 0o600);
    const consoleStart = fstatSync(console).size;
    const taps = spec.nics.flatMap(({ endpoint }) => (endpoint.kind === 'tap-fd' ? endpoint.fds : []));
    const disks = spec.disks.map(({ path, readOnly }) => keep(path, readOnly ? O_RDONLY : constants.O_RDWR));
    const boot = [keep(spec.kernelPath, O_RDONLY), keep(spec.initramfsPath, O_RDONLY)];
    const template = templateFds(spec, memory);
    open.push(...template.own);
    const fds = [sockets, console, ...boot, ...taps, ...disks, ...template.fds];
    const stderrFd = spec.detached ? keep(runDir.stderrFile, append | O_TRUNC, 0o600) : undefined;
    const plan = machinePlan(request, runDir);
    const argv = confinedArgv(tools, [tools.qemu.path, ...qemuArgs(plan)], {
      dieWithParent: !spec.detached,
      root: globalThis.process.getuid?.() === 0,
      user,
      keepCapabilities: hasPrivilegedPort(spec) ? ['net_bind_service'] : [],
      maxFileBytes: await largestFile(request),
      env: { ...ALLOCATION, ...tools.qemu.env },
    });
    const child = await spawnConfined(argv, { stderrFd, fds });
    const data = {
      machine: options.machine,
      accelerator: acceleration.accelerator,
      slots: spec.nics.length + spec.hotplugNicSlots,
      channels: [...spec.channels],
      consoleLogPath: spec.consoleLogPath,
      consoleStart,
      detached: spec.detached,
      ...(spec.template?.role === 'source' && request.template
        ? { template: { directory: spec.template.directory, key: request.template.key } }
        : {}),
    };
    return { process: childProcess(child, spec.detached ? runDir.stderrFile : undefined), data };
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

/**
 * A clone's guest finds its channels as they were when it was saved, held: it has nothing to hear of that, and what is written
 * to them meanwhile is there when it goes on.
 */
async function beginChannels(spec: VmSpec, runDir: QemuRunDir, begun: Map<string, Socket>, call: CallOptions) {
  const open = async (name: string, index: number) => {
    begun.set(name, await openSocket(runDir.channelSocket(index), call));
  };
  const opened = await Promise.allSettled(spec.channels.map(open));
  for (const each of opened) if (each.status === 'rejected') throw each.reason;
}

/** What bounds the console log bounds all that QEMU writes to: its disks, and the memory that it shares with virtiofsd. */
async function largestFile({ spec, options }: LaunchRequest): Promise<number> {
  const growth = await Promise.all(spec.disks.map((disk, index) => checkDisk(disk, index)));
  const writable = growth.filter((_, index) => !spec.disks[index]?.readOnly);
  const memoryMib = spec.shares.length > 0 ? spec.memoryMib : 0;
  return Math.max(Math.max(options.consoleLogMaxMib, memoryMib) * 1024 * 1024, ...writable);
}

function hasPrivilegedPort(spec: VmSpec): boolean {
  return spec.nics.some(
    ({ endpoint }) =>
      endpoint.kind === 'builtin' && endpoint.forwards.some(({ hostPort }) => hostPort < PRIVILEGED_PORTS),
  );
}

interface Listener {
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
    server.listen({ path }, resolve);
  });
  const close = () => void server.close();
  if (user) await chown(path, user.uid, user.gid);
  await chmod(path, 0o600);
  return {
    connection,
    close,
    destroy() {
      close();
      taken?.destroy();
    },
  };
}

/** Waits for QEMU's connection and speaks QMP on it; its early end ends the wait. */
async function greet({ spec, options, signal }: LaunchRequest, listener: Listener, process: VmProcess) {
  const what = `greeting of QEMU for VM ${spec.id}`;
  const early = process.exited.then(async ({ exitCode, signal: killer }): Promise<never> => {
    throw await earlyEnd(spec, process, exitCode, killer);
  });
  early.catch(() => {});
  return withDeadline(what, options.qmpConnectTimeoutMs, signal, async (call) => {
    const socket = await raceSignal(Promise.race([listener.connection, early]), call.signal, what);
    const explainLoss = async () => {
      await process.exited;
      const words = (await process.stderrTail()).trim();
      return { words: words === '' ? '' : `: ${words}`, details: { stderrTail: words } };
    };
    return QmpClient.connect(socket, { explainLoss }, call);
  });
}

async function earlyEnd(spec: VmSpec, process: VmProcess, exitCode: number | null, killer: string | null) {
  const stderrTail = await process.stderrTail();
  const how = killer === null ? `exit code ${exitCode}` : `killed by ${killer}`;
  const words = stderrTail.trim().split('\n').slice(-3).join(' / ');
  return new HyperplugError('VM_HYPERVISOR_FAILED', `QEMU of VM ${spec.id} ended early (${how}): ${words}`, {
    details: { id: spec.id, exitCode, signal: killer, stderrTail },
  });
}

/** A lost connection is told as QEMU's early end, and that as the port in use that it was about. */
async function explain(error: unknown, spec: VmSpec, process: VmProcess | undefined): Promise<unknown> {
  let known = error;
  if (process && hasCode(error, 'QMP_CLOSED')) {
    const late = new Promise<undefined>((resolve) => setTimeout(resolve, 1_000, undefined).unref());
    const end = await Promise.race([process.exited, late]);
    if (end) known = await earlyEnd(spec, process, end.exitCode, end.signal);
  }
  if (!isHyperplugError(known) || known.code !== 'VM_HYPERVISOR_FAILED') return known;
  const words = String(known.details.stderrTail ?? '');
  // migration/migration.c says so of a state that it cannot read.
  if (spec.template?.role === 'clone' && words.includes('load of migration failed')) {
    return staleTemplate(spec.template.directory, `QEMU cannot go on from it: ${words.trim()}`, known);
  }
  if (!tellsOfForward(words)) return known;
  const forwards = spec.nics.flatMap(({ endpoint }) => (endpoint.kind === 'builtin' ? endpoint.forwards : []));
  return (await explainForward(forwardsNamed(words, forwards))) ?? known;
}
