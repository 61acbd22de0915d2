import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type CallOptions, raceSignal } from '../../../src/core/calls.js';
import { HyperplugError } from '../../../src/core/errors.js';
import type {
  AttachedNic,
  HypervisorCapabilities,
  HypervisorDriver,
  HypervisorVm,
  ProcessIdentity,
  VmExit,
  VmNic,
  VmRecord,
  VmSpec,
  VmTrace,
} from '../../../src/core/hypervisor.js';
import { deepFreeze } from '../../../src/core/json.js';
import { TOKENS } from '../../../src/core/plugin.js';
import { identifyProcess, killProcess, processArgv, sameProcess, watchProcess } from '../../../src/host/process.js';
import { definePlugin } from '../../../src/index.js';
import { FAKE_AGENT_CAPABILITIES, FAKE_HYPERVISOR_CAPABILITIES, FakeAgent } from '../../../src/testing/index.js';
import type { VmmCall, VmmNic } from './vmm.js';

const PROGRAM = fileURLToPath(new URL('./vmm.js', import.meta.url));
const NAME = 'process';

const capabilities: HypervisorCapabilities = deepFreeze({
  ...FAKE_HYPERVISOR_CAPABILITIES,
  builtinNetwork: false,
  nicEndpoints: ['tap-fd'],
  liveForwards: false,
  detachNeedsGuest: 'none',
  pause: false,
});

/** VMs that are processes (vmm.ts): real descriptors, sockets and pids, and a guest in memory. */
class ProcessHypervisor implements HypervisorDriver {
  readonly name = NAME;
  readonly capabilities = capabilities;

  async launch(spec: VmSpec, { signal }: CallOptions): Promise<HypervisorVm> {
    if (find(spec.runDir)) throw new HyperplugError('VM_ALREADY_EXISTS', `VM ${spec.id} runs`);
    let next = 3;
    const taps = spec.nics.flatMap(({ endpoint }) => (endpoint.kind === 'tap-fd' ? endpoint.fds : []));
    const nics = spec.nics.map(
      ({ id, mac, mtu, queues }): VmmNic => ({ id, mac, mtu, fds: Array.from({ length: queues }, () => next++) }),
    );
    const args = [PROGRAM, spec.runDir, spec.id, spec.consoleLogPath, JSON.stringify(nics)];
    const confined = spec.detached ? [] : ['setpriv', '--pdeathsig=KILL', '--'];
    const [program = '', ...argv] = [...confined, process.execPath, ...args];
    const child = spawn(program, argv, { detached: true, stdio: ['ignore', 'pipe', 'ignore', ...taps] });
    child.stdout?.on('error', () => {});
    const ended = once(child, 'exit');
    try {
      const ready = once(child.stdout as NonNullable<typeof child.stdout>, 'data');
      const outcome = await raceSignal(Promise.race([ready, ended.then(() => 'ended')]), signal, `launch ${spec.id}`);
      if (outcome === 'ended') throw new HyperplugError('VM_HYPERVISOR_FAILED', `VM ${spec.id} ended at once`);
      child.stdout?.destroy();
      const identity = identifyProcess(child.pid ?? 0);
      if (!identity) throw new HyperplugError('VM_HYPERVISOR_FAILED', `VM ${spec.id} ended at once`);
      child.unref();
      return new ProcessVm(spec.id, spec.runDir, identity, ended);
    } catch (error) {
      child.kill('SIGKILL');
      await ended;
      await removeFiles(spec.runDir);
      throw error;
    }
  }

  async adopt(record: VmRecord): Promise<HypervisorVm> {
    if (!sameProcess(record.process)) throw new HyperplugError('VM_ADOPT_FAILED', `VM ${record.id} is gone`);
    const vm = new ProcessVm(record.id, record.runDir, record.process, undefined);
    await vm.refresh();
    return vm;
  }

  async destroy(record: VmRecord, options: CallOptions): Promise<void> {
    await killProcess(record.process, options);
    await removeFiles(record.runDir);
  }

  async reap(runDir: string, options: CallOptions): Promise<void> {
    const process = find(runDir);
    if (process) await killProcess(process, options);
    await removeFiles(runDir);
  }

  async traces(): Promise<readonly VmTrace[]> {
    return [...processes()];
  }
}

function* processes(): Generator<VmTrace> {
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    const argv = processArgv(Number(name)) ?? [];
    const at = argv.indexOf(PROGRAM);
    const process = at === 1 ? identifyProcess(Number(name)) : undefined;
    if (process && argv[2]) yield { process, runDir: argv[2] };
  }
}

const find = (runDir: string) => [...processes()].find((each) => each.runDir === runDir)?.process;

async function removeFiles(runDir: string): Promise<void> {
  for (const name of ['vm.sock', 'vm.pid']) await rm(`${runDir}/${name}`, { force: true });
}

class ProcessVm implements HypervisorVm {
  readonly exited: Promise<VmExit>;
  #exit: VmExit | undefined;
  #nics: AttachedNic[] = [];
  #released = false;
  readonly #stop: () => void;

  constructor(
    readonly id: string,
    private readonly runDir: string,
    private readonly process: ProcessIdentity,
    ended: Promise<unknown[]> | undefined,
  ) {
    const watch = watchProcess(process);
    this.#stop = () => watch.close();
    const gone = ended ?? watch.gone;
    this.exited = Promise.race([gone, watch.gone]).then(() => {
      const exit: VmExit = { reason: 'killed', exitCode: null, signal: null, stderrTail: '' };
      this.#exit = exit;
      return exit;
    });
  }

  get state() {
    return this.#exit ? ('exited' as const) : ('running' as const);
  }

  async refresh(): Promise<void> {
    const nics = (await this.#call({ call: 'nics' }, { signal: AbortSignal.timeout(10_000) })) as AttachedNic[];
    this.#nics = nics.map((nic, slot) => ({ ...nic, slot }));
  }

  onEvent(): () => void {
    return () => {};
  }

  async openChannel(name: string, { signal }: CallOptions): Promise<Duplex> {
    this.#check();
    const socket = await this.#connect(signal);
    socket.write(`${JSON.stringify({ call: 'channel', name })}\n`);
    return socket;
  }

  async attachNic(nic: VmNic, options: CallOptions): Promise<AttachedNic> {
    this.#check();
    const { id, mac, mtu, endpoint } = nic;
    if (endpoint.kind !== 'tap-fd') throw new HyperplugError('NOT_SUPPORTED', 'taps alone');
    await this.#call({ call: 'attach', nic: { id, mac, mtu, fds: endpoint.fds }, pid: process.pid }, options);
    const attached = { id, mac, slot: this.#nics.length };
    this.#nics.push(attached);
    return attached;
  }

  async detachNic(nicId: string, options: CallOptions): Promise<void> {
    this.#check();
    const { missing } = (await this.#call({ call: 'detach', id: nicId }, options)) as { missing?: true };
    this.#nics = this.#nics.filter(({ id }) => id !== nicId);
    if (missing) throw new HyperplugError('VM_NIC_NOT_FOUND', `VM ${this.id} has no NIC ${nicId}`);
  }

  async addForward(): Promise<void> {
    throw new HyperplugError('NOT_SUPPORTED', 'no forwards');
  }
  async removeForward(): Promise<void> {
    throw new HyperplugError('NOT_SUPPORTED', 'no forwards');
  }
  nics(): readonly AttachedNic[] {
    return this.#nics;
  }
  async pause(): Promise<void> {
    throw new HyperplugError('NOT_SUPPORTED', 'no pause');
  }
  async resume(): Promise<void> {
    throw new HyperplugError('NOT_SUPPORTED', 'no pause');
  }

  async shutdown(options: CallOptions): Promise<VmExit> {
    await this.#call({ call: 'power' }, options);
    return raceSignal(this.exited, options.signal, 'shutdown');
  }

  async kill(options: CallOptions): Promise<VmExit> {
    await killProcess(this.process, options);
    const exit = await raceSignal(this.exited, options.signal, 'kill');
    await removeFiles(this.runDir);
    return exit;
  }

  async release(): Promise<void> {
    this.#released = true;
    this.#stop();
  }

  record(): VmRecord {
    return { version: 1, driver: NAME, id: this.id, process: this.process, runDir: this.runDir, data: null };
  }

  #check(): void {
    if (this.#exit || this.#released) throw new HyperplugError('VM_NOT_RUNNING', `VM ${this.id} has ended`);
  }

  async #connect(signal: AbortSignal): Promise<Socket> {
    const socket = connect(`${this.runDir}/vm.sock`);
    const died = this.exited.then(() => {
      throw new HyperplugError('VM_EXITED', `VM ${this.id} ended`);
    });
    died.catch(() => {});
    try {
      await raceSignal(Promise.race([once(socket, 'connect'), died]), signal, 'connection to the VM');
      socket.on('error', () => {});
      return socket;
    } catch (error) {
      socket.destroy();
      if (error instanceof HyperplugError) throw error;
      throw new HyperplugError('VM_EXITED', `VM ${this.id}: ${(error as Error).message}`, { cause: error });
    }
  }

  async #call(request: VmmCall, { signal }: CallOptions): Promise<unknown> {
    const socket = await this.#connect(signal);
    socket.write(`${JSON.stringify(request)}\n`);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    await raceSignal(once(socket, 'close'), signal, request.call);
    if (text === '') throw new HyperplugError('VM_EXITED', `VM ${this.id} ended`);
    const { result, error } = JSON.parse(text) as { result?: unknown; error?: string };
    if (error !== undefined) throw new HyperplugError('VM_HYPERVISOR_FAILED', error);
    return result;
  }
}

export const processHypervisor = definePlugin({
  name: NAME,
  kind: 'hypervisor',
  apiVersion: 1,
  capabilities,
  register({ bind }) {
    bind(TOKENS.hypervisor)
      .toDynamicValue(() => new ProcessHypervisor())
      .inSingletonScope();
  },
});

export const fakeAgent = definePlugin({
  name: 'fake',
  kind: 'agent',
  apiVersion: 1,
  capabilities: FAKE_AGENT_CAPABILITIES,
  register({ bind }) {
    bind(TOKENS.agent)
      .toDynamicValue(() => new FakeAgent())
      .inSingletonScope();
  },
});
