import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { chmod, chown } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { raceSignal, throwIfAborted } from '../../core/calls.js';
import type { VmSpec } from '../../core/hypervisor.js';
import type { PluginLogger } from '../../core/plugin.js';
import { UndoStack } from '../../core/undo.js';
import { type ConfinementTools, confinedArgv, type RunAsUser, spawnConfined } from '../../host/confined-spawn.js';
import { killProcess } from '../../host/process.js';
import type { Tool } from '../../host/tools.js';
import { PRIVILEGED_PORTS } from '../../host/vmm/forwards.js';
import { checkReadable, chooseUser } from '../../host/vmm/run-as.js';
import { childProcess, type VmProcess } from '../../host/vmm/vm-process.js';
import { qemuArgs } from './argv.js';
import { type Acceleration, KVM_DEVICE } from './kvm/device.js';
import { machinePlan } from './machine-plan.js';
import type { QemuOptions } from './options.js';
import { QemuRunDir } from './qemu-run-dir.js';
import { checkDisk } from './storage.js';
import type { CloneMemory } from './template/memory.js';
import { markUnsaved } from './template/paths.js';
import { type ShareTools, startShare } from './virtiofsd.js';
import type { RecordData } from './vm-record.js';

export interface LaunchTools extends ConfinementTools {
  readonly qemu: Tool;
}

/** What of a template its source or a clone is started with. */
export interface TemplateParts {
  readonly key: string;
  memory(user: RunAsUser | undefined): CloneMemory | undefined;
  fds(memory: CloneMemory | undefined): { readonly fds: readonly number[]; readonly own: readonly number[] };
}

export interface BeginRequest {
  readonly spec: VmSpec;
  readonly options: QemuOptions;
  readonly tools: LaunchTools;
  readonly shareTools: () => Promise<ShareTools>;
  readonly acceleration: Acceleration;
  readonly template: TemplateParts | undefined;
  /** The guest runs at once; else it waits for `cont`. */
  readonly runs: boolean;
  readonly log: PluginLogger;
  readonly signal: AbortSignal;
}

/** A QEMU that has been started and is about to connect to us. */
export interface Begun {
  readonly runDir: QemuRunDir;
  /** Of all that has been done so far. */
  readonly undo: UndoStack;
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
    const { identity, exited } = process;
    undo.push('QEMU', async (call) => {
      await killProcess(identity, call);
      await raceSignal(exited, call.signal, `end of QEMU ${identity.pid}`);
    });
    await runDir.recordProcess(spec.id, identity);
    return { runDir, undo, listener, process, data, memory };
  } catch (error) {
    memory?.close();
    throw await undo.fail('VM_HYPERVISOR_FAILED', `VM ${spec.id} was not started, nor wholly undone`, error);
  }
}

/**
 * mallopt(3), "GLIBC_TUNABLES": QEMU makes and drops some ten MiB as it starts. In huge pages and few steps that takes a
 * fraction of the page faults. Other C libraries know nothing of it.
 */
const ALLOCATION = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.top_pad=16777216' };

/** QEMU itself, from its descriptors to the record of what it is. */
async function start(
  request: BeginRequest,
  runDir: QemuRunDir,
  user: RunAsUser | undefined,
  memory: CloneMemory | undefined,
) {
  const { spec, options, acceleration, tools, template } = request;
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
    const saved = template?.fds(memory);
    open.push(...(saved?.own ?? []));
    const fds = [sockets, console, ...boot, ...taps, ...disks, ...(saved?.fds ?? [])];
    const stderrFd = spec.detached ? keep(runDir.stderrFile, append | O_TRUNC, 0o600) : undefined;
    const plan = { ...machinePlan(request, runDir), runs: request.runs };
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
      nicDefaults: true,
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
async function largestFile({ spec, options }: BeginRequest): Promise<number> {
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
