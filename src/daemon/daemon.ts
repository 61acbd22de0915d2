import type { FastifyInstance } from 'fastify';
import { withDeadline } from '../core/calls.js';
import { HyperplugError, hasCode } from '../core/errors.js';
import type { PluginLogger } from '../core/plugin.js';
import { acquireLock, type FileLock } from '../host/lock.js';
import { Cached } from './cached.js';
import { PodKeeper } from './keeper.js';
import { Metrics } from './metrics.js';
import type { Services } from './operation.js';
import { Requests } from './requests.js';
import { buildServer, type ServerLimits } from './server.js';
import { Sessions } from './sessions.js';
import { type Listening, listenOn } from './socket.js';
import { ExecUpgrades } from './upgrade.js';

const LOCK_TIMEOUT_MS = 1_000;
const NETWORKS_AGE_MS = 10_000;
/** What is under way at the end has this long, and this much more once it is told to end. */
const DRAIN_MS = 10_000;
const ABORTED_DRAIN_MS = 10_000;
const STOP_GRACE_MS = 10_000;

export interface DaemonOptions {
  readonly hyperplug: Services['hyperplug'];
  readonly listen: Listening;
  /** A file that one daemon of this state locks. */
  readonly lockPath: string;
  readonly limits: ServerLimits;
  readonly logger: PluginLogger;
  readonly version: string;
  /** Whether the configuration has a pool. */
  readonly fillPool?: boolean;
}

/** The daemon: an engine that stays, and the API to it. */
export class Daemon {
  readonly metrics: Metrics;
  readonly #server: FastifyInstance;
  readonly #services: Services;
  readonly #upgrades: ExecUpgrades;
  #state: 'starting' | 'ready' | 'stopping' = 'starting';
  #troubles: string[] = [];
  #stopped: Promise<void> | undefined;

  private constructor(
    private readonly options: DaemonOptions,
    private readonly lock: FileLock,
  ) {
    const { hyperplug, logger, version, limits } = options;
    this.metrics = new Metrics();
    const networks = new Cached(NETWORKS_AGE_MS, () => hyperplug.networks.status());
    this.#services = {
      hyperplug,
      logger,
      version,
      keeper: new PodKeeper(hyperplug, logger),
      sessions: new Sessions(logger),
      requests: new Requests(),
      metrics: this.metrics,
      startedAt: new Date().toISOString(),
      state: () => this.#state,
      troubles: () => this.#troubles,
      connections: () => this.#connections,
      networks: () => networks.get(),
    };
    this.#server = buildServer(this.#services, limits);
    this.#upgrades = new ExecUpgrades(this.#services, limits);
    this.#upgrades.listen(this.#server.server);
    this.#server.server.on('connection', (socket) => {
      this.#connections += 1;
      socket.once('close', () => {
        this.#connections -= 1;
      });
    });
    this.#server.server.on('drop', () => {
      this.metrics.refused += 1;
    });
  }

  #connections = 0;

  /**
   * Listens at once; networks and running pods are seen to before it is `ready`. A network that cannot be made is told by
   * /healthz/ready, and keeps nobody from what needs none.
   * @throws DAEMON_RUNNING another daemon has this state or socket.
   */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const lock = await ownState(options.lockPath);
    let daemon: Daemon | undefined;
    try {
      daemon = new Daemon(options, lock);
      await daemon.#server.ready();
      await listenOn(daemon.#server.server, options.listen);
      daemon.metrics.start();
      await daemon.#takeOver();
      return daemon;
    } catch (error) {
      await daemon?.stop().catch(() => {});
      await lock.release();
      throw error;
    }
  }

  get address(): string {
    const address = this.#server.server.address();
    return typeof address === 'string' ? address : JSON.stringify(address);
  }

  /**
   * Takes no more requests, gives those under way time to end, removes pods of clients that were not to be kept, lets go of
   * the others: their VMs run on, unless `stopPods`. Idempotent.
   */
  stop(options: { readonly stopPods?: boolean } = {}): Promise<void> {
    this.#stopped ??= this.#stop(options.stopPods ?? false);
    return this.#stopped;
  }

  async #takeOver(): Promise<void> {
    const { hyperplug, logger } = this.options;
    const { keeper } = this.#services;
    try {
      await hyperplug.networks.init();
    } catch (error) {
      // Of such that cannot be made without a VM nothing is to be made.
      if (!hasCode(error, 'NOT_SUPPORTED')) this.#trouble('networks', error);
    }
    try {
      await this.#tidy();
      await keeper.adopt();
    } catch (error) {
      this.#trouble('running pods', error);
    }
    keeper.watch();
    // Beside everything else: nobody waits for it.
    if (this.options.fillPool) void hyperplug.pool.fill().catch(() => {});
    this.#state = 'ready';
    logger.info({ address: this.address, pods: keeper.ids.length }, 'ready');
  }

  /** What managers that died have left. */
  async #tidy(): Promise<void> {
    const { findings } = await this.options.hyperplug.gc();
    for (const finding of findings) {
      if (finding.action === 'finished' || finding.action === 'removed') this.options.logger.info(finding, finding.why);
      if (finding.action === 'failed') this.options.logger.warn(finding, finding.why);
    }
  }

  #trouble(what: string, error: unknown): void {
    this.#troubles = [...this.#troubles, `${what}: ${error instanceof Error ? error.message : String(error)}`];
    this.options.logger.error({ err: error }, `${what} could not be seen to`);
  }

  async #stop(stopPods: boolean): Promise<void> {
    const { hyperplug, logger } = this.options;
    const { keeper, requests, sessions } = this.#services;
    this.#state = 'stopping';
    logger.info({ stopPods }, 'stopping');
    const { server } = this.#server;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeIdleConnections();
    await keeper.stop();
    // Streams have no end of their own.
    this.#upgrades.closeAll();
    requests.cancelStreams('the daemon is ending');
    await this.#drained(DRAIN_MS);
    requests.cancelAll('the daemon is ending');
    await this.#drained(ABORTED_DRAIN_MS);
    await sessions.endAll();
    const errors: unknown[] = [];
    if (stopPods) errors.push(...(await this.#stopPods()));
    await hyperplug.close().catch((error: unknown) => errors.push(error));
    server.closeAllConnections();
    await closed;
    await this.#server.close();
    this.metrics.stop();
    await this.lock.release();
    for (const error of errors) logger.error({ err: error }, 'the end was not clean');
    if (errors.length > 0) throw errors[0];
  }

  /** Until no request is under way, or the time is up. */
  async #drained(limitMs: number): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (this.#services.requests.count > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async #stopPods(): Promise<unknown[]> {
    const { pods } = this.options.hyperplug;
    const listed = await pods.list();
    const running = listed.filter(({ state }) => state === 'running' || (state as string) === 'paused');
    const settled = await Promise.allSettled(running.map(({ id }) => pods.stop(id, { graceMs: STOP_GRACE_MS })));
    return settled.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  }
}

/** @throws DAEMON_RUNNING naming the other one. */
async function ownState(path: string): Promise<FileLock> {
  try {
    return await withDeadline(`lock ${path}`, LOCK_TIMEOUT_MS, undefined, (call) =>
      acquireLock(path, { signal: call.signal, purpose: 'hyperplug daemon' }),
    );
  } catch (error) {
    if (!hasCode(error, 'TIMEOUT')) throw error;
    throw new HyperplugError('DAEMON_RUNNING', `another daemon has this state directory: ${error.message}`, {
      cause: error,
      details: error.details,
    });
  }
}
