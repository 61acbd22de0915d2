import type { UserCallOptions } from '../core/calls.js';
import { HyperplugError } from '../core/errors.js';
import type {
  EventOptions,
  LogOptions,
  PodDetails,
  PodEvent,
  PodFilter,
  PodStats,
  Pods,
} from '../core/pod/pods-api.js';
import type { Pod, PodStatus } from '../core/pod/types.js';
import { LONGEST_MS, part, type Transport } from './transport.js';

/** Building an image may take minutes, and has its own deadlines at the daemon. */
const START_TIMEOUT_MS = 40 * 60_000;

/** The daemon's pods. What a call waits for is done there, by its deadlines. */
export class RemotePods implements Pods {
  constructor(
    private readonly transport: Transport,
    private readonly hold: (id: string, options: UserCallOptions) => Promise<Pod>,
  ) {}

  create(spec: unknown, options: UserCallOptions = {}): Promise<PodDetails> {
    return this.transport.json('POST', '/v1/pods', { ...only(options), body: spec ?? null });
  }
  start(id: string, options: UserCallOptions = {}): Promise<PodDetails> {
    return this.#act(id, 'start', { timeoutMs: START_TIMEOUT_MS, ...only(options) });
  }
  stop(id: string, options: UserCallOptions & { readonly graceMs?: number } = {}): Promise<PodDetails> {
    const { graceMs } = options;
    return this.transport.json('POST', `/v1/pods/${part(id)}/stop`, { ...only(options), query: { graceMs } });
  }
  pause(id: string, options: UserCallOptions = {}): Promise<PodDetails> {
    return this.#act(id, 'pause', options);
  }
  resume(id: string, options: UserCallOptions = {}): Promise<PodDetails> {
    return this.#act(id, 'resume', options);
  }
  wait(id: string, options: UserCallOptions = {}): Promise<PodDetails> {
    return this.transport.json('GET', `/v1/pods/${part(id)}/wait`, { ...only(options), own: true });
  }
  list(options: UserCallOptions & { readonly filter?: PodFilter } = {}): Promise<readonly PodStatus[]> {
    const { states, labels } = options.filter ?? {};
    // A list that is there and empty matches nothing; a query cannot say so.
    if (states?.length === 0) return Promise.resolve([]);
    const label = labels && Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    return this.transport.json('GET', '/v1/pods', { ...only(options), query: { state: states, label } });
  }
  inspect(id: string, options: UserCallOptions = {}): Promise<PodDetails> {
    return this.transport.json('GET', `/v1/pods/${part(id)}`, only(options));
  }
  async remove(id: string, options: UserCallOptions & { readonly force?: boolean } = {}): Promise<void> {
    const { force } = options;
    await this.transport.json('DELETE', `/v1/pods/${part(id)}`, { ...only(options), query: { force } });
  }
  open(id: string, options: UserCallOptions = {}): Promise<Pod> {
    return this.hold(id, options);
  }
  stats(id: string, options: UserCallOptions = {}): Promise<PodStats> {
    return this.transport.json('GET', `/v1/pods/${part(id)}/stats`, only(options));
  }
  events(options: EventOptions = {}): AsyncIterable<PodEvent> {
    const { signal, pods, since, follow } = options;
    if (pods?.length === 0) throw new HyperplugError('POD_SPEC_INVALID', 'pods: expected at least one, or none at all');
    const query = { pod: pods, since, follow };
    return this.transport.lines('GET', '/v1/events', { signal, query });
  }
  logs(id: string, options: LogOptions = {}): AsyncIterable<Uint8Array> {
    const { signal, ...query } = options;
    return this.transport.stream('GET', `/v1/pods/${part(id)}/logs`, { signal, query });
  }

  #act(id: string, verb: string, options: UserCallOptions): Promise<PodDetails> {
    return this.transport.json('POST', `/v1/pods/${part(id)}/${verb}`, only(options));
  }
}

/** Of what a user passes. */
export function only({ signal, timeoutMs }: UserCallOptions): UserCallOptions {
  return { signal, timeoutMs };
}

/** The caller has a deadline of its own in its signal. */
export function unlimited({ signal }: UserCallOptions): UserCallOptions {
  return { signal, timeoutMs: LONGEST_MS };
}
