import { type CallOptions, raceSignal, throwIfAborted, withDeadline } from '../../core/calls.js';
import type { Diagnosis } from '../../core/diagnosis.js';
import { HyperplugError, hasCode } from '../../core/errors.js';
import type { HypervisorDriver, ProcessIdentity, VmRecord, VmSpec, VmTrace } from '../../core/hypervisor.js';
import type { Assessment, PluginLogger } from '../../core/plugin.js';
import type { ProgressSink } from '../../core/progress.js';
import { checkStorage } from '../../core/vm/check-storage.js';
import { checkTemplate } from '../../core/vm/check-template.js';
import { runCommand } from '../../host/command.js';
import { usableLauncher } from '../../host/confined-spawn.js';
import { identifyProcess, killProcess, processArgv, readProcess, sameProcess } from '../../host/process.js';
import type { ToolProvider } from '../../host/tools.js';
import { checkVmSpec } from '../../host/vmm/check-spec.js';
import { tracesOf } from '../../host/vmm/run-dir.js';
import { adoptedProcess } from '../../host/vmm/vm-process.js';
import { namespaceArgs } from './argv.js';
import { killTree } from './begin.js';
import { umlCapabilities } from './capabilities.js';
import type { LaunchTools } from './command.js';
import { launch } from './launch.js';
import { checkEndpoint } from './nic-plug.js';
import { NotificationSource } from './notification-source.js';
import type { UmlOptions } from './options.js';
import type { SlirpTools } from './slirp-process.js';
import { umlProcess } from './start-up-words.js';
import { UmlRunDir, umlInitMarker } from './uml-run-dir.js';
import { UmlVm } from './uml-vm.js';
import { DRIVER_NAME, readRecord } from './vm-record.js';

export interface UmlDriverHost {
  readonly tools: ToolProvider;
  readonly progress: ProgressSink;
  readonly log: PluginLogger;
}

/** User Mode Linux: a kernel that is a program. It needs no virtualisation, and no privilege. */
export class UmlDriver implements HypervisorDriver {
  readonly name = DRIVER_NAME;
  readonly capabilities = umlCapabilities;

  constructor(
    private readonly options: UmlOptions,
    private readonly host: UmlDriverHost,
  ) {}

  async initNetwork(options: CallOptions): Promise<void> {
    await this.#slirpTools(options).catch((cause: unknown) => {
      if (!hasCode(cause, 'HOST_TOOL_MISSING')) throw cause;
      throw new HyperplugError('NET_INIT_FAILED', cause.message, { cause });
    });
  }

  async launch(spec: VmSpec, options: CallOptions): Promise<UmlVm> {
    if (spec.nics.length > 0) {
      for (const nic of spec.nics) checkEndpoint(nic);
      throw new HyperplugError('NOT_SUPPORTED', 'nics: the uml driver takes NICs only while the VM runs');
    }
    checkVmSpec(spec, this.capabilities, checkEndpoint);
    await checkStorage(spec, this.capabilities);
    await checkTemplate(spec, this);
    const tools = await this.#tools(options);
    const slirpTools = async () => ({
      ...(await this.#slirpTools({ signal: AbortSignal.timeout(this.options.commandTimeoutMs) })),
      launcher: usableLauncher(spec.launcherPath),
    });
    return launch({ spec, options: this.options, tools, slirpTools, log: this.host.log, signal: options.signal });
  }

  async adopt(record: VmRecord, { signal }: CallOptions): Promise<UmlVm> {
    const data = readRecord(record);
    const { id } = record;
    const failed = (why: string, cause?: unknown) =>
      new HyperplugError('VM_ADOPT_FAILED', `VM ${id}: ${why}`, { cause, details: { id, pid: record.process.pid } });
    throwIfAborted(signal, `adoption of VM ${id}`);
    if (!sameProcess(record.process) || !sameProcess(data.main)) throw failed(`process ${data.main.pid} is gone`);
    if (!data.detached) throw failed('it belongs to the process that launched it: it was not launched detached');
    const runDir = new UmlRunDir(record.runDir);
    const { commandTimeoutMs } = this.options;
    const notifications = await NotificationSource.open(runDir.notifySocket, data.user ?? undefined);
    const slirpTools = () => this.#slirpTools({ signal: AbortSignal.timeout(commandTimeoutMs) });
    const process = umlProcess(adoptedProcess(record.process, runDir.stderrFile, outerOf(record.process, runDir)));
    const vm = new UmlVm({ id, runDir, process, data, commandTimeoutMs, slirpTools, notifications });
    try {
      await withDeadline(`adoption of VM ${id}`, commandTimeoutMs, signal, (call) => vm.recover(call));
      return vm;
    } catch (error) {
      await vm.release();
      if (hasCode(error, 'VM_EXITED', 'MCONSOLE_ERROR', 'MCONSOLE_PROTOCOL')) throw failed(error.message, error);
      throw error;
    }
  }

  async destroy(record: VmRecord, options: CallOptions): Promise<void> {
    await killProcess(record.process, options);
    const runDir = new UmlRunDir(record.runDir);
    await killTree(runDir, options);
    await runDir.removeFiles();
  }

  async reap(path: string, options: CallOptions): Promise<void> {
    const runDir = new UmlRunDir(path);
    const process = await runDir.runningProcess();
    if (process) await killProcess(process, options);
    await killTree(runDir, options);
    await runDir.removeFiles();
  }

  async traces({ signal }: CallOptions): Promise<readonly VmTrace[]> {
    throwIfAborted(signal, 'look for processes of User Mode Linux');
    return tracesOf(umlInitMarker);
  }

  async assess(options: CallOptions): Promise<Assessment> {
    const obstacle = await this.#obstacle(options);
    return obstacle === undefined
      ? { fitness: 'light', reason: 'User Mode Linux runs here, without virtualisation' }
      : { fitness: 'none', reason: obstacle };
  }

  async diagnose(options: CallOptions): Promise<readonly Diagnosis[]> {
    return [await this.#diagnoseBinary(options), await this.#diagnoseNetwork(options)];
  }

  async #diagnoseBinary(options: CallOptions): Promise<Diagnosis> {
    const id = 'uml.binary';
    try {
      const { uml } = await this.#tools(options);
      const { stdout } = await runCommand([uml.path, '--version'], { signal: options.signal, env: uml.env });
      const version = `User Mode Linux ${stdout.trim()} (${uml.path}, ${uml.origin})`;
      const obstacle = await this.#obstacle(options);
      if (obstacle === undefined) return { id, status: 'ok', summary: version };
      const fix = 'allow user namespaces (user.max_user_namespaces; AppArmor and seccomp profiles of containers)';
      return { id, status: 'fail', summary: `${version}: ${obstacle}`, fix };
    } catch (error) {
      if (!hasCode(error, 'HOST_TOOL_MISSING', 'HOST_COMMAND_FAILED', 'HOST_PERMISSION')) throw error;
      const fix = 'install user-mode-linux (Debian) or set hypervisor.uml.binaryPath';
      return { id, status: 'fail', summary: error.message, fix };
    }
  }

  /** Why it cannot have the namespaces that it runs in; undefined: it can, as was just seen. */
  async #obstacle({ signal }: CallOptions): Promise<string | undefined> {
    const tools = await this.#tools({ signal });
    const { uml } = tools;
    try {
      await runCommand([...namespaceArgs(tools), uml.path, '--version'], { signal, env: uml.env });
      return undefined;
    } catch (error) {
      if (!hasCode(error, 'HOST_COMMAND_FAILED')) throw error;
      return `no namespaces of its own: ${error.message}`;
    }
  }

  async #diagnoseNetwork(options: CallOptions): Promise<Diagnosis> {
    const id = 'uml.network';
    try {
      const { slirp } = await this.#slirpTools(options);
      return { id, status: 'ok', summary: `user-mode network by ${slirp.path} (${slirp.origin})` };
    } catch (error) {
      if (!hasCode(error, 'HOST_TOOL_MISSING')) throw error;
      return { id, status: 'warn', summary: error.message, fix: 'install slirp4netns (Debian)' };
    }
  }

  async #tools(options: CallOptions): Promise<LaunchTools> {
    const { binaryPath } = this.options;
    const uml =
      binaryPath === undefined
        ? await this.#locate('linux.uml', options)
        : { name: 'linux.uml', path: binaryPath, origin: 'configured' as const, env: {} };
    const names = ['setpriv', 'prlimit', 'env', 'unshare', 'timeout', 'setsid'] as const;
    const [setpriv, prlimit, env, unshare, timeout, setsid] = await Promise.all(
      names.map((name) => this.#path(name, options)),
    );
    return { uml, setpriv, prlimit, env, unshare, timeout, setsid } as LaunchTools;
  }

  async #slirpTools(options: CallOptions): Promise<SlirpTools> {
    const slirp = await this.#locate('slirp4netns', options);
    const names = ['setpriv', 'prlimit', 'env', 'nsenter'] as const;
    const [setpriv, prlimit, env, nsenter] = await Promise.all(names.map((name) => this.#path(name, options)));
    return { slirp, setpriv, prlimit, env, nsenter } as SlirpTools;
  }

  async #path(name: string, options: CallOptions): Promise<string> {
    return (await this.#locate(name, options)).path;
  }

  #locate(name: string, { signal }: CallOptions) {
    const { tools, progress } = this.host;
    return raceSignal(tools.locate(name, { signal, progress }), signal, `locate ${name}`);
  }
}

/** The parent of the first of a VM's namespace, which ends a moment after that. */
function outerOf(init: ProcessIdentity, { path }: UmlRunDir): readonly ProcessIdentity[] {
  const parent = readProcess(init.pid)?.parentPid;
  if (!parent || !processArgv(parent)?.some((word) => word.includes(path))) return [];
  const identity = identifyProcess(parent);
  return identity ? [identity] : [];
}
