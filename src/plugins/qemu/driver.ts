import { join } from 'node:path';
import { type CallOptions, raceSignal, throwIfAborted, withDeadline } from '../../core/calls.js';
import type { Diagnosis } from '../../core/diagnosis.js';
import { HyperplugError, hasCode } from '../../core/errors.js';
import type { HypervisorDriver, VmRecord, VmSpec, VmTrace } from '../../core/hypervisor.js';
import type { Assessment, PluginLogger, PluginPaths } from '../../core/plugin.js';
import type { ProgressSink } from '../../core/progress.js';
import { checkStorage } from '../../core/vm/check-storage.js';
import { checkTemplate, checkTemplateKey } from '../../core/vm/check-template.js';
import { runCommand } from '../../host/command.js';
import { qemuFirmwareArgs } from '../../host/debian/firmware.js';
import { FileDigests } from '../../host/file-digests.js';
import { killProcess, sameProcess } from '../../host/process.js';
import type { Tool, ToolProvider } from '../../host/tools.js';
import { tracesOf } from '../../host/vmm/run-dir.js';
import { adoptedProcess } from '../../host/vmm/vm-process.js';
import { qemuCapabilities } from './capabilities.js';
import { checkSpec } from './check-spec.js';
import type { LaunchTools } from './command.js';
import { AccelerationChooser, kvmObstacle } from './kvm/acceleration.js';
import type { Acceleration } from './kvm/device.js';
import { launch } from './launch.js';
import type { PlanRequest } from './machine-plan.js';
import { openSocket } from './open-socket.js';
import type { QemuOptions } from './options.js';
import { QemuRunDir, qemuMarker } from './qemu-run-dir.js';
import { QemuVm } from './qemu-vm.js';
import { QmpClient } from './qmp/client.js';
import { isObject } from './qmp/messages.js';
import { templateKey } from './template/key.js';
import { TemplateMemory } from './template/memory.js';
import { requireUserNetwork } from './user-network.js';
import type { ShareTools } from './virtiofsd.js';
import { DRIVER_NAME, readRecord } from './vm-record.js';

export interface QemuDriverHost {
  readonly tools: ToolProvider;
  readonly progress: ProgressSink;
  readonly log: PluginLogger;
  /** undefined: nothing is remembered between processes. */
  readonly paths: Pick<PluginPaths, 'cacheDir'> | undefined;
}

export class QemuDriver implements HypervisorDriver {
  readonly name = DRIVER_NAME;
  readonly capabilities = qemuCapabilities;
  readonly #acceleration: AccelerationChooser;
  readonly #digests: FileDigests;
  readonly #templateMemory = new TemplateMemory();
  #told = false;

  constructor(
    private readonly options: QemuOptions,
    private readonly host: QemuDriverHost,
  ) {
    const cacheDir = host.paths?.cacheDir;
    this.#acceleration = new AccelerationChooser(options, cacheDir);
    this.#digests = new FileDigests(cacheDir && join(cacheDir, 'qemu-digests.json'));
  }

  async initNetwork(options: CallOptions): Promise<void> {
    const tools = await this.#tools(options);
    await requireUserNetwork(tools.qemu, this.host.paths?.cacheDir, options);
  }

  async launch(spec: VmSpec, options: CallOptions): Promise<QemuVm> {
    checkSpec(spec, this.capabilities);
    await checkStorage(spec, this.capabilities);
    await checkTemplate(spec, this);
    const tools = await this.#tools(options);
    const acceleration = await this.#accelerate(tools, spec.kernelPath, options);
    if (acceleration.obstacle !== undefined && !this.#told) {
      this.#told = true;
      this.host.log.info({ reason: acceleration.reason }, 'software emulation (TCG) is used');
    }
    const { signal } = options;
    const shareTools = () => this.#shareTools(tools, options);
    const request = { spec, options: this.options, tools, shareTools, acceleration, log: this.host.log, signal };
    if (!spec.template) return launch({ ...request, template: undefined });
    const key = await this.#templateKey(request, options);
    checkTemplateKey(spec, key);
    return launch({ ...request, template: { key, memory: this.#templateMemory } });
  }

  async templateKey(spec: VmSpec, options: CallOptions): Promise<string> {
    const tools = await this.#tools(options);
    const acceleration = await this.#accelerate(tools, spec.kernelPath, options);
    return this.#templateKey({ spec, options: this.options, tools, acceleration }, options);
  }

  #templateKey(request: PlanRequest, { signal }: CallOptions): Promise<string> {
    return raceSignal(templateKey(request, this.#digests, signal), signal, 'key of a template');
  }

  async adopt(record: VmRecord, options: CallOptions): Promise<QemuVm> {
    const data = readRecord(record);
    const { id } = record;
    const runDir = new QemuRunDir(record.runDir);
    const failed = (why: string, cause?: unknown) =>
      new HyperplugError('VM_ADOPT_FAILED', `VM ${id}: ${why}`, { cause, details: { id, pid: record.process.pid } });
    if (!sameProcess(record.process)) throw failed(`process ${record.process.pid} is gone`);
    if (!data.detached) throw failed('it belongs to the process that launched it: it was not launched detached');
    const process = adoptedProcess(record.process, runDir.stderrFile);
    let qmp: QmpClient | undefined;
    try {
      return await withDeadline(
        `adoption of VM ${id}`,
        this.options.qmpConnectTimeoutMs,
        options.signal,
        async (call) => {
          const socket = await openSocket(runDir.qmpSocket, call);
          const explainLoss = async () => {
            const words = (await process.stderrTail()).trim();
            return { words: words === '' ? '' : `: ${words}`, details: { stderrTail: words } };
          };
          qmp = await QmpClient.connect(socket, { explainLoss }, call);
          const { qmpCommandTimeoutMs: commandTimeoutMs, nicDetachTimeoutMs: detachTimeoutMs } = this.options;
          const timeouts = { commandTimeoutMs, detachTimeoutMs };
          const vm = new QemuVm({ id, runDir, process, qmp, data, ...timeouts, begun: 'adopted' });
          await vm.nicPlug.recover(call);
          const status = await qmp.execute('query-status', undefined, call);
          if (isObject(status) && status.running === false) vm.foundPaused();
          return vm;
        },
      );
    } catch (error) {
      qmp?.close();
      process.release();
      if (hasCode(error, 'VM_EXITED', 'QMP_CLOSED', 'QMP_PROTOCOL')) throw failed(error.message, error);
      throw error;
    }
  }

  async destroy(record: VmRecord, options: CallOptions): Promise<void> {
    await killProcess(record.process, options);
    await new QemuRunDir(record.runDir).removeFiles();
  }

  async reap(runDir: string, options: CallOptions): Promise<void> {
    const directory = new QemuRunDir(runDir);
    const process = await directory.runningProcess();
    if (process) await killProcess(process, options);
    await directory.removeFiles();
  }

  async traces({ signal }: CallOptions): Promise<readonly VmTrace[]> {
    throwIfAborted(signal, 'look for QEMU processes');
    return tracesOf(qemuMarker);
  }

  /** KVM is native once a guest has been seen to run under it; QEMU itself is only looked for where it could be. */
  async assess(options: CallOptions): Promise<Assessment> {
    const obstacle = this.options.acceleration === 'tcg' ? { reason: 'acceleration: tcg' } : kvmObstacle();
    if (obstacle) return { fitness: 'emulated', reason: `software emulation (TCG): ${obstacle.reason}` };
    const { accelerator, reason } = await this.#accelerate(await this.#tools(options), undefined, options);
    return accelerator === 'kvm'
      ? { fitness: 'native', reason: `KVM: ${reason}` }
      : { fitness: 'emulated', reason: `software emulation (TCG): ${reason}` };
  }

  async diagnose(options: CallOptions): Promise<readonly Diagnosis[]> {
    let tools: LaunchTools;
    let version: string;
    try {
      tools = await this.#tools(options);
      const { path, env } = tools.qemu;
      const { stdout } = await runCommand([path, '--version'], { signal: options.signal, env });
      version = stdout.split('\n')[0] ?? '';
    } catch (error) {
      if (!hasCode(error, 'HOST_TOOL_MISSING', 'HOST_COMMAND_FAILED', 'HOST_PERMISSION')) throw error;
      const fix = 'install qemu-system-x86 (Debian) or set hypervisor.qemu.binaryPath';
      return [{ id: 'qemu.binary', status: 'fail', summary: error.message, fix }];
    }
    const { path, origin } = tools.qemu;
    const binary: Diagnosis = { id: 'qemu.binary', status: 'ok', summary: `${version} (${path}, ${origin})` };
    return [binary, accelerationDiagnosis(await this.#accelerate(tools, undefined, options))];
  }

  #accelerate(tools: LaunchTools, kernelPath: string | undefined, { signal }: CallOptions): Promise<Acceleration> {
    return this.#acceleration.choose({
      qemuPath: tools.qemu.path,
      qemuEnv: tools.qemu.env,
      firmwareArgs: qemuFirmwareArgs(tools.qemu),
      tools,
      kernelPath,
      signal,
    });
  }

  async #shareTools({ setpriv, env }: LaunchTools, { signal }: CallOptions): Promise<ShareTools> {
    const { tools, progress } = this.host;
    const locate = (name: string) => raceSignal(tools.locate(name, { signal, progress }), signal, `locate ${name}`);
    const [virtiofsd, ...others] = await Promise.all(['virtiofsd', 'unshare', 'nsenter', 'mount'].map(locate));
    const [unshare, nsenter, mount] = others.map(({ path }) => path) as [string, string, string];
    return { virtiofsd: virtiofsd as Tool, unshare, nsenter, mount, setpriv, env };
  }

  async #tools({ signal }: CallOptions): Promise<LaunchTools> {
    const { tools, progress } = this.host;
    const locate = (name: string) => raceSignal(tools.locate(name, { signal, progress }), signal, `locate ${name}`);
    const { binaryPath } = this.options;
    const qemu =
      binaryPath === undefined
        ? await locate('qemu-system-x86_64')
        : { name: 'qemu-system-x86_64', path: binaryPath, origin: 'configured' as const, env: {} };
    const [setpriv, prlimit, env] = await Promise.all(['setpriv', 'prlimit', 'env'].map(locate));
    return { qemu, setpriv: setpriv!.path, prlimit: prlimit!.path, env: env!.path };
  }
}

/** What `hyperplug doctor` says of the accelerator. */
export function accelerationDiagnosis({ accelerator, reason, obstacle }: Acceleration): Diagnosis {
  const id = 'qemu.kvm';
  if (accelerator === 'kvm') return { id, status: 'ok', summary: `KVM is used: ${reason}` };
  if (obstacle === undefined) return { id, status: 'ok', summary: `software emulation (TCG) is used: ${reason}` };
  const fix = {
    absent: 'enable virtualisation in the firmware, or nested virtualisation where this is a VM; TCG works, slowly',
    permission: 'add this user to the group of /dev/kvm (often kvm) and log in again',
    broken: 'TCG works, slowly; set hypervisor.qemu.kvmVerdict to probe to try KVM anew before the next boot',
  }[obstacle];
  return { id, status: 'warn', summary: `${reason}: software emulation (TCG) is used`, fix };
}
