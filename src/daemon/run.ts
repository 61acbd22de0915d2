import type { LoadedConfig } from '../core/config/load-config.js';
import { HyperplugError } from '../core/errors.js';
import type { PluginLogger } from '../core/plugin.js';
import { ensureDirectories } from '../host/paths.js';
import { sdNotify, takeListenFds, watchdogMs } from '../host/sd-notify.js';
import { type CreateHyperplugOptions, createHyperplug, openConfig } from '../hyperplug.js';
import { daemonPaths, directoriesOf } from '../places.js';
import { Daemon } from './daemon.js';
import type { Listening } from './socket.js';

export interface RunDaemonOptions extends Omit<CreateHyperplugOptions, 'logger'> {
  readonly logger: (loaded: LoadedConfig) => PluginLogger;
  /** Over the configuration's. */
  readonly socketPath?: string;
  /** At its end the daemon stops all pods. */
  readonly stopPods: boolean;
  readonly version: string;
  /** Fires when the daemon shall end. */
  readonly signal: AbortSignal;
  /** It answers, there. */
  readonly onReady: (address: string) => void;
}

/** Runs the daemon until it is told to end. @throws DAEMON_RUNNING, CONFIG_*, PLUGIN_*, HOST_*. */
export async function runDaemon(options: RunDaemonOptions): Promise<void> {
  const { signal, version, stopPods } = options;
  const loaded = await openConfig(options);
  const directories = directoriesOf(loaded);
  ensureDirectories(directories);
  const logger = options.logger(loaded);
  const { maxStreams, maxConnections } = loaded.config.daemon;
  const hyperplug = await createHyperplug({ ...options, logger, signal: undefined, serves: true });
  let daemon: Daemon;
  try {
    daemon = await Daemon.start({
      hyperplug,
      listen: listeningOf(options, loaded),
      lockPath: daemonPaths(loaded).lockPath,
      limits: { maxStreams, maxConnections },
      logger,
      version,
      fillPool: loaded.config.pool.size > 0,
    });
  } catch (error) {
    await hyperplug.close().catch(() => {});
    throw error;
  }
  const stopWatchdog = feedWatchdog();
  sdNotify(`READY=1\nSTATUS=listening at ${daemon.address}`);
  options.onReady(daemon.address);
  try {
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  } finally {
    sdNotify('STOPPING=1\nSTATUS=ending');
    await daemon.stop({ stopPods }).finally(stopWatchdog);
  }
}

function listeningOf({ socketPath }: RunDaemonOptions, loaded: LoadedConfig): Listening {
  const fds = takeListenFds();
  if (fds.length > 1) {
    throw new HyperplugError('CONFIG_INVALID', `expected one socket of the service manager, got ${fds.length}`);
  }
  const [fd] = fds;
  return fd === undefined ? { path: socketPath ?? daemonPaths(loaded).socketPath } : { fd };
}

/** Twice as often as the service manager asks: that an event loop runs that does not is what it watches for. */
function feedWatchdog(): () => void {
  const intervalMs = watchdogMs();
  if (intervalMs === undefined) return () => {};
  const timer = setInterval(() => sdNotify('WATCHDOG=1'), intervalMs / 2);
  return () => clearInterval(timer);
}
