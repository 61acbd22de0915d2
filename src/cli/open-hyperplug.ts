import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { LoadedConfig } from '../core/config/load-config.js';
import { hasCode } from '../core/errors.js';
import type { PluginLogger } from '../core/plugin.js';
import type { Hyperplug } from '../core/pod/types.js';
import { configOptions } from './config-options.js';
import type { EngineOptions, Io } from './deps.js';
import { usageError } from './errors.js';

/**
 * The engine of every command: the daemon's, where one answers at the socket, else one in this process. A socket that was
 * named (--socket, HYPERPLUG_SOCKET) must answer.
 */
export async function openHyperplug(io: Io, options: EngineOptions): Promise<Hyperplug> {
  const named = options.socket ?? (io.env.HYPERPLUG_SOCKET || undefined);
  if (options.daemon === false) {
    if (options.socket !== undefined) throw usageError('--socket and --no-daemon exclude each other');
    return inProcess(io, options);
  }
  if (named !== undefined) {
    if (options.driver !== undefined) {
      throw usageError("--driver: the daemon's driver is in its configuration", 'leave it out, or add --no-daemon');
    }
    return connect(resolve(named), options);
  }
  // What the daemon does not run is asked for: this process does it.
  if (options.driver !== undefined) return inProcess(io, options);
  const { openConfig } = await import('../hyperplug.js');
  const { socketPathOf } = await import('../daemon/run.js');
  const path = socketPathOf(await openConfig(configOptions(options)));
  if (!existsSync(path)) return inProcess(io, options);
  try {
    return await connect(path, options);
  } catch (error) {
    // One that has died leaves its socket behind.
    if (hasCode(error, 'DAEMON_UNREACHABLE')) return inProcess(io, options);
    throw error;
  }
}

async function connect(socketPath: string, { signal }: EngineOptions): Promise<Hyperplug> {
  const { connectHyperplug } = await import('../client/index.js');
  return connectHyperplug({ socketPath, signal });
}

async function inProcess(io: Io, options: EngineOptions): Promise<Hyperplug> {
  const { createHyperplug } = await import('../hyperplug.js');
  const logger = await loggerOf(io, options);
  return createHyperplug({ ...configOptions(options), progress: options.progress, logger });
}

/** The log of the configuration, to standard error. */
export async function loggerOf(
  io: Io,
  { logTo }: Pick<EngineOptions, 'logTo'>,
): Promise<(loaded: LoadedConfig) => PluginLogger> {
  const { createLogger } = await import('../core/logging.js');
  return ({ config, secrets }) =>
    createLogger({
      ...config.log,
      secrets,
      destination: { write: (text) => logTo(text) },
      isTerminal: io.stderr.isTerminal,
    });
}
