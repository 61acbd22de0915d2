import { type CallOptions, type UserCallOptions, withDeadline } from '../calls.js';
import { HyperplugError } from '../errors.js';
import { podDetails } from './details.js';
import { followEvents } from './events/follow.js';
import { containerLogDirectory } from './life/container-logs.js';
import { notRunning } from './life/holds.js';
import { readContainerLog, readLog } from './life/logs.js';
import { look } from './life/look.js';
import { pausePod, resumePod } from './life/pause.js';
import { containerOf, refreshLog, visitPod } from './life/refresh-log.js';
import { settle } from './life/settle.js';
import { createStopped, startPod } from './life/start.js';
import { podStats } from './life/stats.js';
import { DEFAULT_GRACE_MS, stopPod } from './life/stop.js';
import { waitEnd } from './life/wait.js';
import { CALL_TIMEOUT_MS, type PodManager } from './pod-manager.js';
import type { EventOptions, LogOptions, PodDetails, PodEvent, PodFilter, PodStats, Pods } from './pods-api.js';
import type { PodRecord } from './record.js';
import { checkPodId, parseKeptPodSpec } from './spec.js';
import type { Pod, PodStatus } from './types.js';

export interface EnginePodsDeps {
  /** Plugins started: enough to look at pods, and to end them. */
  readonly manager: (options: UserCallOptions) => Promise<PodManager>;
  /** Networks initialised and leftovers of dead managers cleared too: pods can be started. */
  readonly ready: (options: UserCallOptions) => Promise<PodManager>;
  /** @throws PLUGIN_CAPABILITY_MISSING what is configured cannot outlive its manager. */
  readonly checkKeep: () => void;
}

/** Pods by the engine in this process; every other process of the state directory does the same beside it. */
export class EnginePods implements Pods {
  constructor(private readonly deps: EnginePodsDeps) {}

  async create(input: unknown, options: UserCallOptions = {}): Promise<PodDetails> {
    this.deps.checkKeep();
    const { services, holds } = await this.deps.manager(options);
    const { defaults, templates } = services;
    const spec = parseKeptPodSpec(input, (await templates?.defaultsFor(input, defaults)) ?? defaults);
    await templates?.check(spec);
    const record = await holds.inTurn(spec.id, options, () => createStopped(services, spec, options));
    return this.#details(services, record);
  }

  async start(id: string, options: UserCallOptions = {}): Promise<PodDetails> {
    checkPodId(id);
    const { timeoutMs, signal } = options;
    const start = async (limits: UserCallOptions) => {
      const manager = await this.deps.ready(limits);
      const { services, holds } = manager;
      return holds.inTurn(id, limits, async () => {
        const held = holds.get(id);
        if (held?.table.record.state === 'paused') throw notRunning(id, 'paused');
        const hold = held ?? (await startPod(services, holds, id, limits));
        if (hold) hold.kept = true;
        return this.#details(services, hold?.table.record ?? (await services.store.read(id, finite(limits))));
      });
    };
    return timeoutMs === undefined
      ? start({ signal })
      : withDeadline(`start pod ${id}`, timeoutMs, signal, (call) => start(call));
  }

  async stop(id: string, options: UserCallOptions & { readonly graceMs?: number } = {}): Promise<PodDetails> {
    const { graceMs = DEFAULT_GRACE_MS, timeoutMs = graceMs + CALL_TIMEOUT_MS } = options;
    if (!Number.isFinite(graceMs) || graceMs < 0) throw new TypeError(`graceMs: expected 0 or more, got ${graceMs}`);
    return this.#inTurn(id, 'stop', { ...options, timeoutMs }, ({ services, holds }, call) =>
      stopPod(services, holds, id, graceMs, call),
    );
  }

  pause(id: string, options: UserCallOptions = {}): Promise<PodDetails> {
    return this.#inTurn(id, 'pause', options, ({ services, holds }, call) => pausePod(services, holds, id, call));
  }

  resume(id: string, options: UserCallOptions = {}): Promise<PodDetails> {
    return this.#inTurn(id, 'resume', options, ({ services, holds }, call) => resumePod(services, holds, id, call));
  }

  async wait(id: string, options: UserCallOptions = {}): Promise<PodDetails> {
    checkPodId(id);
    const manager = await this.deps.manager(options);
    const wait = async (signal: AbortSignal) => {
      const { services, wake } = manager;
      const settleIt = (record: PodRecord, call: CallOptions) => this.#settled(manager, record, call);
      const visit = () => visitPod(manager, id, async () => {});
      const { record, look: seen } = await waitEnd(services, wake, id, settleIt, visit, { signal });
      return podDetails(record, seen);
    };
    const { timeoutMs, signal } = options;
    if (timeoutMs === undefined) return wait(signal ?? new AbortController().signal);
    return withDeadline(`wait for the end of pod ${id}`, timeoutMs, signal, (call) => wait(call.signal));
  }

  async list(options: UserCallOptions & { readonly filter?: PodFilter } = {}): Promise<readonly PodStatus[]> {
    const manager = await this.deps.manager(options);
    const { states, labels = {} } = options.filter ?? {};
    return (await manager.list(options)).filter(
      (pod) =>
        (states?.includes(pod.state) ?? true) &&
        Object.entries(labels).every(([name, value]) => Object.hasOwn(pod.labels, name) && pod.labels[name] === value),
    );
  }

  inspect(id: string, options: UserCallOptions = {}): Promise<PodDetails> {
    return this.#call(id, 'inspect', options, async (manager, call) =>
      this.#settled(manager, await manager.services.store.read(id, call), call),
    );
  }

  async remove(id: string, options: UserCallOptions & { readonly force?: boolean } = {}): Promise<void> {
    checkPodId(id);
    const manager = await this.deps.manager(options);
    if (!options.force) {
      const { services } = manager;
      const call = finite(options);
      const { state } = await look(services.host, await services.store.read(id, call));
      if (state === 'running' || state === 'paused') {
        throw new HyperplugError(
          'POD_BUSY',
          `pod ${id}: expected a pod that does not run, it is ${state}; stop it first, or use force`,
          {
            details: { field: 'pod', received: id, state },
          },
        );
      }
    }
    await manager.remove(id, options);
  }

  async open(id: string, options: UserCallOptions = {}): Promise<Pod> {
    return (await this.deps.manager(options)).open(id, options);
  }

  async stats(id: string, options: UserCallOptions = {}): Promise<PodStats> {
    checkPodId(id);
    const manager = await this.deps.manager(options);
    const { timeoutMs = CALL_TIMEOUT_MS, signal } = options;
    return withDeadline(`stats of pod ${id}`, timeoutMs, signal, async (call) => {
      const { services, holds } = manager;
      const record = await services.store.read(id, call);
      const { state } = await look(services.host, record);
      if (state !== 'running' && state !== 'paused') throw notRunning(id, state);
      return podStats(services, record, holds.get(id), call);
    });
  }

  async *events(options: EventOptions = {}): AsyncGenerator<PodEvent> {
    const { services, wake } = await this.deps.manager({ signal: options.signal });
    yield* followEvents(services.store.state, wake, options);
  }

  async *logs(id: string, options: LogOptions = {}): AsyncGenerator<Uint8Array> {
    checkPodId(id);
    const { tail, follow = false, container } = options;
    if (tail !== undefined && (!Number.isInteger(tail) || tail < 0)) {
      throw new TypeError(`tail: expected 0 or more lines, got ${tail}`);
    }
    const manager = await this.deps.manager({ signal: options.signal });
    const record = await manager.services.store.read(id, finite(options));
    const known = container === undefined ? undefined : containerOf(record, container);
    const over = new AbortController();
    const onAbort = () => over.abort(options.signal?.reason);
    if (options.signal?.aborted) onAbort();
    else options.signal?.addEventListener('abort', onAbort, { once: true });
    const ended = follow ? this.wait(id, { signal: over.signal }) : undefined;
    ended?.catch(() => {});
    try {
      const signal = options.signal ?? new AbortController().signal;
      const how = { signal, ...(tail !== undefined && { tail }), ...(ended && { ended }) };
      if (known) {
        const refresh = () => refreshLog(manager, id, known.id);
        yield* readContainerLog(containerLogDirectory(record.dataDir, known.id), refresh, how);
      } else yield* readLog(record.consoleLogPath, how);
    } finally {
      options.signal?.removeEventListener('abort', onAbort);
      over.abort();
    }
  }

  /** A pod that this process holds is in its own hands: what it says is so. */
  async #settled({ services, holds }: PodManager, record: PodRecord, call: CallOptions): Promise<PodRecord> {
    return holds.get(record.id) ? record : settle(services, record, call);
  }

  #inTurn(
    id: string,
    what: string,
    options: UserCallOptions,
    body: (manager: PodManager, call: CallOptions) => Promise<PodRecord>,
  ): Promise<PodDetails> {
    return this.#call(id, what, options, (manager, call) => manager.holds.inTurn(id, call, () => body(manager, call)));
  }

  async #call(
    id: string,
    what: string,
    { timeoutMs = CALL_TIMEOUT_MS, signal }: UserCallOptions,
    body: (manager: PodManager, call: CallOptions) => Promise<PodRecord>,
  ): Promise<PodDetails> {
    checkPodId(id);
    const manager = await this.deps.manager({ signal });
    const record = await withDeadline(`${what} pod ${id}`, timeoutMs, signal, (call) => body(manager, call));
    return this.#details(manager.services, record);
  }

  async #details(services: PodManager['services'], record: PodRecord): Promise<PodDetails> {
    return podDetails(record, await look(services.host, record));
  }
}

const finite = ({ signal }: UserCallOptions): CallOptions => ({
  signal: signal ?? AbortSignal.timeout(CALL_TIMEOUT_MS),
});
