import { PassThrough } from 'node:stream';
import type { ExecExit, GuestProcess, TerminalSize } from '../../../src/core/agent.js';
import type { CallOptions, UserCallOptions } from '../../../src/core/calls.js';
import type { Diagnosis } from '../../../src/core/diagnosis.js';
import { HyperplugError } from '../../../src/core/errors.js';
import type { GcReport } from '../../../src/core/gc/types.js';
import type { VmExit } from '../../../src/core/hypervisor.js';
import type { PodBackend, PodLife } from '../../../src/core/pod/pod-backend.js';
import { PodHandle } from '../../../src/core/pod/pod-handle.js';
import type { ExecRequest, Hyperplug, Pod, PodNic, PodStatus } from '../../../src/core/pod/types.js';
import { FakeNetworks } from './fake-networks.js';
import { FakePodNetwork } from './fake-pod-network.js';
import { FakePods } from './fake-pods.js';
import { FakePool } from './fake-pool.js';
import { FakeTemplates } from './fake-templates.js';

/** A process in memory: the test is its program. */
export class FakeProcess implements GuestProcess {
  readonly id = 'process-1';
  readonly stdin = new PassThrough();
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly exited: Promise<ExecExit>;
  readonly signals: number[] = [];
  readonly sizes: TerminalSize[] = [];
  onSignal: (signal: number) => void = () => {};
  resolveExit!: (exit: ExecExit) => void;
  rejectExit!: (error: Error) => void;

  constructor(readonly request: ExecRequest) {
    this.exited = new Promise((resolve, reject) => {
      this.resolveExit = resolve;
      this.rejectExit = reject;
    });
    this.exited.catch(() => {});
    if (request.terminal) this.stderr.end();
  }

  /** Ends the process; what was written to its streams still comes. */
  exit(exitCode: number): void {
    this.stdout.end();
    this.stderr.end();
    this.resolveExit({ exitCode });
  }

  async kill(signal: number): Promise<void> {
    this.signals.push(signal);
    this.onSignal(signal);
  }

  async resize(size: TerminalSize): Promise<void> {
    this.sizes.push(size);
  }
}

export type Program = (process: FakeProcess) => void | Promise<void>;

class FakeBackend extends FakePodNetwork implements PodBackend {
  readonly exited: Promise<VmExit>;
  readonly started: GuestProcess[] = [];
  endVm!: (exit: VmExit) => void;
  removed = false;
  released = false;

  constructor(
    readonly id: string,
    readonly keep: boolean,
    private readonly start: (request: ExecRequest) => Promise<GuestProcess>,
    readonly life: PodLife,
    nics: readonly PodNic[],
  ) {
    super(nics);
    this.exited = new Promise((resolve) => {
      this.endVm = resolve;
    });
  }

  readonly consoleLogPath = '/nonexistent/console.log';
  async spawn(request: ExecRequest, { signal }: CallOptions): Promise<GuestProcess> {
    signal.throwIfAborted();
    const process = await this.start(request);
    this.started.push(process);
    return process;
  }
  writeFile(): never {
    throw new Error('no files in this pod');
  }
  readFile(): never {
    throw new Error('no files in this pod');
  }
  async remove(): Promise<void> {
    this.removed = true;
  }
  async release(): Promise<void> {
    this.released = true;
  }
}

/** What a user holds, on a pod in memory. */
export class FakePod extends PodHandle {
  constructor(readonly fake: FakeBackend) {
    super(fake);
  }
}

/** Processes run `program`; what was asked for is kept for the test to look at. */
export class FakeHyperplug implements Hyperplug {
  readonly networks = new FakeNetworks();
  readonly made: FakePod[] = [];
  readonly pods = new FakePods(this);
  readonly templates = new FakeTemplates();
  readonly pool = new FakePool();
  /** Prepares a pod that is opened. */
  onOpen: (pod: FakePod) => void = () => {};
  readonly specs: unknown[] = [];
  readonly removals: { id: string; force: boolean }[] = [];
  statuses: PodStatus[] = [];
  findings: Diagnosis[] = [];
  closes = 0;
  closeError: Error | undefined;
  /** Held up until it settles: stands for a long set-up. */
  beforeCreate: (options: UserCallOptions) => Promise<void> = async () => {};

  constructor(readonly spawn: (request: ExecRequest) => Promise<GuestProcess>) {}

  static running(program: Program): FakeHyperplug {
    return new FakeHyperplug(async (request) => {
      const process = new FakeProcess(request);
      setImmediate(() => void program(process));
      return process;
    });
  }

  async createPod(spec: unknown, options: UserCallOptions = {}): Promise<Pod> {
    this.specs.push(spec);
    await this.beforeCreate(options);
    const { id, keep } = spec as { id?: string; keep?: boolean };
    return this.#pod(id ?? 'pod-0123456789', keep === true);
  }
  async openPod(id: string): Promise<Pod> {
    const pod = this.#pod(id, true, this.#status(id).nics);
    this.onOpen(pod);
    return pod;
  }
  async listPods(): Promise<readonly PodStatus[]> {
    return this.statuses;
  }
  async removePod(id: string, options: { force?: boolean } = {}): Promise<void> {
    this.#status(id);
    this.removals.push({ id, force: options.force === true });
    this.statuses = this.statuses.filter((status) => status.id !== id);
  }
  report: GcReport = { dryRun: false, findings: [] };
  async gc({ dryRun = false }: { readonly dryRun?: boolean } = {}): Promise<GcReport> {
    return { ...this.report, dryRun };
  }
  async prepare(): Promise<void> {}
  async diagnose(): Promise<readonly Diagnosis[]> {
    return this.findings;
  }
  async close(): Promise<void> {
    this.closes += 1;
    for (const pod of this.made) await pod[Symbol.asyncDispose]();
    if (this.closeError) throw this.closeError;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #pod(id: string, keep: boolean, nics: readonly PodNic[] = []): FakePod {
    const pod = new FakePod(new FakeBackend(id, keep, this.spawn, this.pods, nics));
    this.made.push(pod);
    return pod;
  }
  #status(id: string): PodStatus {
    const status = this.statuses.find((one) => one.id === id);
    if (!status) throw new HyperplugError('POD_NOT_FOUND', `no pod of the id "${id}"`);
    return status;
  }
}

export function status(id: string, changes: Partial<PodStatus> = {}): PodStatus {
  return {
    id,
    state: 'running',
    createdAt: new Date(Date.now() - 90_000).toISOString(),
    hypervisor: 'qemu',
    network: 'default',
    cpus: 1,
    memoryMib: 256,
    pid: 4242,
    keep: true,
    labels: {},
    addresses: ['192.168.123.2/24'],
    ports: [],
    nics: [],
    routes: [],
    consoleLogPath: '/nonexistent/console.log',
    origin: { from: 'boot', template: null },
    ...changes,
  };
}

/** What the first pod's first command is. */
export function firstProcess(hyperplug: FakeHyperplug): FakeProcess {
  const process = hyperplug.made[0]?.fake.started[0];
  if (!(process instanceof FakeProcess)) throw new Error('no command has been started');
  return process;
}
