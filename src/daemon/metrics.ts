import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { NetworkReport, PodStatus, PoolStatus } from '../core/pod/types.js';
import { DurationHistogram, exposition, type Family, type Sample } from './exposition.js';

const LOOP_RESOLUTION_MS = 2;
const QUANTILES = [0.5, 0.9, 0.99];

/** What is counted as it happens, and read when somebody asks. */
export class Metrics {
  readonly #operations = new DurationHistogram();
  readonly #loop: IntervalHistogram = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  streams = 0;
  commands = 0;
  refused = 0;

  start(): void {
    this.#loop.enable();
  }

  stop(): void {
    this.#loop.disable();
  }

  operation(name: string, status: number, seconds: number): void {
    this.#operations.observe({ operation: name, status: `${Math.floor(status / 100)}xx` }, seconds);
  }

  /** How late the event loop was, milliseconds, since start() or resetLoop(): the interval it is looked at in is taken off. */
  loopDelayMs(): { readonly p50: number; readonly p99: number; readonly max: number } {
    const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - LOOP_RESOLUTION_MS);
    return {
      p50: late(this.#loop.percentile(50)),
      p99: late(this.#loop.percentile(99)),
      max: late(this.#loop.max),
    };
  }

  resetLoop(): void {
    this.#loop.reset();
  }

  /** In the text format of Prometheus. */
  text(facts: MetricFacts): string {
    const { pods, networks, pool, version, startedAt, connections, sessions, requests } = facts;
    const memory = process.memoryUsage();
    const gauge = (name: string, help: string, samples: readonly Sample[] | number): Family => {
      return { name, help, type: 'gauge', samples: typeof samples === 'number' ? [{ value: samples }] : samples };
    };
    const { user, system } = process.cpuUsage();
    const late = (quantile: number) =>
      Math.max(0, this.#loop.percentile(quantile * 100) / 1e9 - LOOP_RESOLUTION_MS / 1e3);
    return exposition([
      gauge('hyperplug_build_info', 'Always 1; what runs is in the labels.', [
        { labels: { version, node: process.version }, value: 1 },
      ]),
      gauge('hyperplug_start_time_seconds', 'When the daemon started, Unix time.', Date.parse(startedAt) / 1000),
      gauge('hyperplug_pods', 'Pods by state.', podSamples(pods)),
      gauge(
        'hyperplug_network_addresses',
        'IPv4 addresses of a network: used by NICs of pods, and free.',
        networks.flatMap((network) => addressSamples(network, pods)),
      ),
      gauge(
        'hyperplug_network_drift',
        'In how many ways a network differs from its configuration.',
        networks.map(({ name, drift }) => ({ labels: { network: name }, value: drift.length })),
      ),
      ...poolFamilies(pool),
      {
        name: 'hyperplug_operation_duration_seconds',
        help: 'Operations of the API by their duration.',
        type: 'histogram',
        samples: this.#operations.samples(),
      },
      {
        name: 'hyperplug_refused_total',
        help: 'Requests and streams refused because the daemon had enough.',
        type: 'counter',
        samples: [{ value: this.refused }],
      },
      gauge('hyperplug_requests', 'Requests under way.', requests),
      gauge('hyperplug_connections', 'Open connections.', connections),
      gauge('hyperplug_streams', 'Open streams: logs, events, waits.', this.streams),
      gauge('hyperplug_commands', 'Commands that run in pods by this daemon.', this.commands),
      gauge('hyperplug_sessions', 'Connected clients with pods of their own.', sessions),
      {
        name: 'hyperplug_event_loop_delay_seconds',
        help: 'How late the event loop is.',
        type: 'summary',
        samples: [
          ...QUANTILES.map((quantile) => ({ labels: { quantile }, value: late(quantile) })),
          {
            suffix: '_sum',
            value: Math.max(0, (this.#loop.mean / 1e9 - LOOP_RESOLUTION_MS / 1e3) * this.#loop.count) || 0,
          },
          { suffix: '_count', value: this.#loop.count },
        ],
      },
      gauge('process_resident_memory_bytes', 'Resident memory of the daemon.', memory.rss),
      gauge('nodejs_heap_size_used_bytes', 'Heap in use.', memory.heapUsed),
      {
        name: 'process_cpu_seconds_total',
        help: 'CPU time of the daemon.',
        type: 'counter',
        samples: [{ value: (user + system) / 1e6 }],
      },
    ]);
  }
}

export interface MetricFacts {
  readonly pods: readonly PodStatus[];
  readonly networks: readonly NetworkReport[];
  readonly pool: PoolStatus | undefined;
  readonly version: string;
  readonly startedAt: string;
  readonly connections: number;
  readonly sessions: number;
  readonly requests: number;
}

function podSamples(pods: readonly PodStatus[]): Sample[] {
  const counts = new Map<string, number>([
    ['running', 0],
    ['exited', 0],
  ]);
  for (const { state } of pods) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, value]) => ({ labels: { state }, value }));
}

function addressSamples({ name, subnets, gateways }: NetworkReport, pods: readonly PodStatus[]): Sample[] {
  const subnet = subnets.find((text) => !text.includes(':'));
  if (subnet === undefined) return [];
  const used = pods
    .flatMap(({ nics }) => nics)
    .filter((nic) => nic.lease?.network === name)
    .flatMap((nic) => nic.lease?.addresses ?? [])
    .filter(({ address }) => !address.includes(':')).length;
  const prefix = Number(subnet.split('/')[1]);
  const hosts = prefix >= 31 ? 2 ** (32 - prefix) : 2 ** (32 - prefix) - 2;
  const own = gateways.filter((gateway) => !gateway.includes(':')).length;
  return [
    { labels: { network: name, state: 'used' }, value: used },
    { labels: { network: name, state: 'free' }, value: Math.max(0, hosts - own - used) },
  ];
}

function poolFamilies(pool: PoolStatus | undefined): Family[] {
  if (!pool) return [];
  const { ready, making, size, claims, misses } = pool;
  const memoryMib = ready.reduce((sum, clone) => sum + clone.memoryMib, 0);
  const states = { ready: ready.length, making, wanted: size };
  const outcomes = { claimed: claims, missed: misses };
  return [
    {
      name: 'hyperplug_pool_clones',
      help: 'Clones that wait for pods: ready, being made, and how many there shall be.',
      type: 'gauge',
      samples: Object.entries(states).map(([state, value]) => ({ labels: { state }, value })),
    },
    {
      name: 'hyperplug_pool_memory_bytes',
      help: 'Memory of the clones that are ready, as configured.',
      type: 'gauge',
      samples: [{ value: memoryMib * 2 ** 20 }],
    },
    {
      name: 'hyperplug_pool_pods_total',
      help: 'Pods that have taken a clone, or found none ready.',
      type: 'counter',
      samples: Object.entries(outcomes).map(([outcome, value]) => ({ labels: { outcome }, value })),
    },
  ];
}
