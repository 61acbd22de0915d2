import { HyperplugError } from '../../../src/core/errors.js';
import type {
  EventOptions,
  LogOptions,
  PodDetails,
  PodEvent,
  PodFilter,
  PodStats,
  Pods,
} from '../../../src/core/pod/pods-api.js';
import type { Pod, PodState, PodStatus } from '../../../src/core/pod/types.js';

/** Pods in memory: `statuses` is what there is; each call is kept for the test to look at. */
export class FakePods implements Pods {
  readonly calls: unknown[][] = [];
  /** Of events() and logs(), in their order; a following reader gets what is pushed, until `end()`. */
  readonly log: Uint8Array[] = [];
  readonly happened: PodEvent[] = [];
  readings: PodStats[] = [];
  /** Id → what the next call about it is refused with. */
  readonly refusals = new Map<string, HyperplugError>();
  #ended = false;
  #wake: () => void = () => {};

  constructor(private readonly world: { statuses: PodStatus[]; openPod(id: string): Promise<Pod> }) {}

  #note(name: string, id: string, ...more: unknown[]): PodStatus {
    this.calls.push([name, id, ...more]);
    const refusal = this.refusals.get(id);
    this.refusals.delete(id);
    if (refusal) throw refusal;
    const status = this.world.statuses.find((one) => one.id === id);
    if (!status) throw new HyperplugError('POD_NOT_FOUND', `no pod of the id "${id}"`);
    return status;
  }
  #change(id: string, state: PodState): PodDetails {
    this.world.statuses = this.world.statuses.map((one) => (one.id === id ? { ...one, state } : one));
    return details(this.world.statuses.find((one) => one.id === id) as PodStatus);
  }

  async create(spec: unknown): Promise<PodDetails> {
    this.calls.push(['create', spec]);
    const { id = 'pod-0123456789' } = spec as { id?: string };
    if (this.world.statuses.some((one) => one.id === id)) throw new HyperplugError('POD_ALREADY_EXISTS', `pod ${id}`);
    this.world.statuses.push({ ...emptyStatus, id, state: 'created' });
    return this.#change(id, 'created');
  }
  async start(id: string): Promise<PodDetails> {
    this.#note('start', id);
    return this.#change(id, 'running');
  }
  async stop(id: string, { graceMs }: { readonly graceMs?: number } = {}): Promise<PodDetails> {
    this.#note('stop', id, graceMs);
    return { ...this.#change(id, 'exited'), exit: { reason: 'shutdown', exitCode: 0, signal: null, stderrTail: '' } };
  }
  async pause(id: string): Promise<PodDetails> {
    this.#note('pause', id);
    return this.#change(id, 'paused');
  }
  async resume(id: string): Promise<PodDetails> {
    this.#note('resume', id);
    return this.#change(id, 'running');
  }
  async wait(id: string, { timeoutMs }: { readonly timeoutMs?: number | undefined } = {}): Promise<PodDetails> {
    this.#note('wait', id, timeoutMs);
    return { ...this.#change(id, 'failed'), failure: 'its kernel panicked' };
  }
  async list({ filter = {} }: { readonly filter?: PodFilter } = {}): Promise<readonly PodStatus[]> {
    const { states, labels = {} } = filter;
    return this.world.statuses.filter(
      (pod) =>
        (states?.includes(pod.state) ?? true) &&
        Object.entries(labels).every(([name, value]) => pod.labels[name] === value),
    );
  }
  async inspect(id: string): Promise<PodDetails> {
    return details(this.#note('inspect', id));
  }
  async remove(id: string, { force = false }: { readonly force?: boolean } = {}): Promise<void> {
    this.#note('remove', id, force);
    this.world.statuses = this.world.statuses.filter((one) => one.id !== id);
  }
  open(id: string): Promise<Pod> {
    return this.world.openPod(id);
  }
  async stats(id: string): Promise<PodStats> {
    this.#note('stats', id);
    const [reading = stats(), ...rest] = this.readings;
    if (rest.length > 0) this.readings = rest;
    return reading;
  }
  async *events(options: EventOptions = {}): AsyncGenerator<PodEvent> {
    const { signal, ...rest } = options;
    this.calls.push(['events', rest]);
    yield* this.#following(this.happened, options.follow === true, signal);
  }
  async *logs(id: string, { signal, ...rest }: LogOptions = {}): AsyncGenerator<Uint8Array> {
    this.#note('logs', id, rest);
    yield* this.#following(this.log, rest.follow === true, signal);
  }

  /** Something is there for those who follow. */
  push(): void {
    this.#wake();
  }
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *#following<T>(items: readonly T[], follow: boolean, signal: AbortSignal | undefined): AsyncGenerator<T> {
    for (let at = 0; ; ) {
      signal?.throwIfAborted();
      while (at < items.length) yield items[at++] as T;
      if (!follow || this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal?.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }
}

const emptyStatus: Omit<PodStatus, 'id' | 'state'> = {
  createdAt: new Date(0).toISOString(),
  hypervisor: 'qemu',
  network: 'default',
  cpus: 1,
  memoryMib: 256,
  pid: null,
  keep: true,
  labels: {},
  addresses: [],
  ports: [],
  nics: [],
  routes: [],
  consoleLogPath: '/nonexistent/console.log',
  origin: null,
};

export function details(status: PodStatus): PodDetails {
  return {
    ...status,
    hostname: status.id,
    spec: { id: status.id },
    containers: [],
    startedAt: null,
    finishedAt: null,
    exit: null,
    failure: null,
  };
}

export function stats(changes: Partial<PodStats> = {}): PodStats {
  return {
    time: new Date(0).toISOString(),
    host: { cpuMs: 0, memoryPssBytes: 100 * 1024 * 1024 },
    guest: { uptimeMs: 0, cpuMs: 0, memoryTotalBytes: 2 ** 28, memoryAvailableBytes: 2 ** 27, processes: 7 },
    nics: [],
    ...changes,
  };
}
