import type { UserCallOptions } from '../core/calls.js';
import type { Diagnosis } from '../core/diagnosis.js';
import { HyperplugError } from '../core/errors.js';
import type { GcReport } from '../core/gc/types.js';
import { PodHandle } from '../core/pod/pod-handle.js';
import type { Pods } from '../core/pod/pods-api.js';
import type { Hyperplug, Networks, Pod, PodStatus } from '../core/pod/types.js';
import type { Pool, Templates } from '../core/template/types.js';
import { RemoteNetworks } from './remote-networks.js';
import { type HeldByDaemon, RemotePodBackend } from './remote-pod.js';
import { only, RemotePods } from './remote-pods.js';
import { RemotePool } from './remote-pool.js';
import { RemoteTemplates } from './remote-templates.js';
import { ClientSession } from './session.js';
import { type Call, part, Transport } from './transport.js';

const CREATE_TIMEOUT_MS = 40 * 60_000;
const GC_TIMEOUT_MS = 10 * 60_000;
const DIAGNOSE_TIMEOUT_MS = 150_000;
const CONNECT_TIMEOUT_MS = 5_000;
const CLOSE_TIMEOUT_MS = 120_000;

export interface ConnectOptions {
  /** Of the daemon's unix socket; absolute. */
  readonly socketPath: string;
  readonly signal?: AbortSignal;
}

/** What answers at the socket. */
export interface DaemonVersion {
  readonly version: string;
  readonly api: 'v1';
  readonly node: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly state: 'starting' | 'ready' | 'stopping';
}

/**
 * The same as createHyperplug(), by a daemon: it has the configuration, the networks and the pods; kept pods are held there,
 * for any number of clients at once. Pods that are not kept end with this client, however it ends.
 * @throws DAEMON_UNREACHABLE nobody answers at the socket.
 */
export async function connectHyperplug(
  options: ConnectOptions,
): Promise<Hyperplug & { readonly daemon: DaemonVersion }> {
  const transport = new Transport(options.socketPath);
  try {
    const { signal } = options;
    const call = { timeoutMs: CONNECT_TIMEOUT_MS, ...(signal && { signal }) };
    const daemon = await transport.json<DaemonVersion>('GET', '/v1/version', call);
    if (daemon.api !== 'v1') {
      throw new HyperplugError(
        'NOT_SUPPORTED',
        `the daemon at ${options.socketPath} speaks API ${String(daemon.api)}, expected v1`,
      );
    }
    return new RemoteHyperplug(transport, daemon);
  } catch (error) {
    transport.close();
    throw error;
  }
}

class RemoteHyperplug implements Hyperplug {
  readonly networks: Networks;
  readonly pods: Pods;
  readonly templates: Templates;
  readonly pool: Pool;
  readonly #session: ClientSession;
  #closed: Promise<void> | undefined;

  constructor(
    private readonly transport: Transport,
    readonly daemon: DaemonVersion,
  ) {
    this.networks = new RemoteNetworks(transport);
    this.pods = new RemotePods(transport, (id, options) => this.openPod(id, options));
    this.templates = new RemoteTemplates(transport);
    this.pool = new RemotePool(transport);
    this.#session = new ClientSession(transport);
  }

  async createPod(spec: unknown, options: UserCallOptions = {}): Promise<Pod> {
    const keeps = (spec as { keep?: unknown } | null)?.keep === true;
    const session = keeps ? undefined : await this.#session.id();
    const call = { timeoutMs: CREATE_TIMEOUT_MS, ...only(options), body: spec ?? null, session };
    return this.#pod(await this.transport.json<HeldByDaemon>('POST', '/v1/run', call));
  }

  async openPod(id: string, options: UserCallOptions = {}): Promise<Pod> {
    return this.#pod(await this.transport.json<HeldByDaemon>('POST', `/v1/pods/${part(id)}/open`, only(options)));
  }

  listPods(options: UserCallOptions = {}): Promise<readonly PodStatus[]> {
    return this.pods.list(options);
  }

  removePod(id: string, options: UserCallOptions & { readonly force?: boolean } = {}): Promise<void> {
    return this.#remove(id, { ...only(options), query: { force: options.force } });
  }

  async prepare(options: UserCallOptions = {}): Promise<void> {
    await this.transport.json('POST', '/v1/prepare', { timeoutMs: CREATE_TIMEOUT_MS, ...only(options) });
  }

  gc(options: UserCallOptions & { readonly dryRun?: boolean } = {}): Promise<GcReport> {
    const { dryRun } = options;
    const call = { timeoutMs: GC_TIMEOUT_MS, ...only(options) };
    return this.transport.json('POST', '/v1/gc', { ...call, query: { dryRun } });
  }

  diagnose(options: UserCallOptions = {}): Promise<readonly Diagnosis[]> {
    return this.transport.json('GET', '/v1/diagnosis', { timeoutMs: DIAGNOSE_TIMEOUT_MS, ...only(options) });
  }

  close(): Promise<void> {
    this.#closed ??= this.#session.end({ timeoutMs: CLOSE_TIMEOUT_MS }).finally(() => this.transport.close());
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #remove(id: string, call: Call): Promise<void> {
    await this.transport.json('DELETE', `/v1/run/${part(id)}`, call);
  }

  #pod(held: HeldByDaemon): Pod {
    return new PodHandle(new RemotePodBackend(this.transport, this.pods, held, (id, call) => this.#remove(id, call)));
  }
}
