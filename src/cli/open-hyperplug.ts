import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { LoadedConfig } from '../core/config/load-config.js';
import { hasCode } from '../core/errors.js';
import type { PluginLogger } from '../core/plugin.js';
import type { Hyperplug } from '../core/pod/types.js';
import { giveUpHeadStart } from '../host/head-start.js';
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
  if (options.driver !== undefined || options.rootless !== undefined) return inProcess(io, options);
  const { openConfig } = await import('../hyperplug.js');
  const { daemonPaths } = await import('../places.js');
  const loaded = await openConfig(configOptions(options));
  const { socketPath: path } = daemonPaths(loaded);
  if (!existsSync(path)) return inProcess(io, options, loaded);
  await mendNamespaces(io, loaded, options);
  try {
    return await connect(path, options);
  } catch (error) {
    // One that has died leaves its socket behind.
    if (hasCode(error, 'DAEMON_UNREACHABLE')) return inProcess(io, options, loaded);
    throw error;
  }
}

async function connect(socketPath: string, { signal }: EngineOptions): Promise<Hyperplug> {
  await giveUpHeadStart();
  const { connectHyperplug } = await import('../client/index.js');
  return connectHyperplug({ socketPath, signal });
}

async function inProcess(io: Io, options: EngineOptions, known?: LoadedConfig): Promise<Hyperplug> {
  const { openConfig, openEngine } = await import('../hyperplug.js');
  const loaded = known ?? (await openConfig(configOptions(options)));
  const obstacle = await enterNamespaces(io, loaded, options).catch((error: unknown) => {
    if (options.namespaces === 'try' && hasCode(error, ...OBSTACLES)) return error;
    throw error;
  });
  const logger = await loggerOf(io, options);
  return openEngine(loaded, { ...configOptions(options), progress: options.progress, logger }, obstacle ?? undefined);
}

/** Why there can be no rootless networks here; what else goes wrong is no finding. */
const OBSTACLES = ['HOST_PERMISSION', 'HOST_TOOL_MISSING', 'HOST_COMMAND_FAILED'] as const;

/** Where networks are rootless, this process goes on in their namespaces: then this does not return. */
export async function enterNamespaces(io: Io, loaded: LoadedConfig, options: EngineOptions): Promise<void> {
  const { namespaces, progress, signal } = options;
  if (!loaded.config.rootless.enabled) return;
  const { enterRootless, isInside, rootlessMended } = await import('../rootless.js');
  if (!isInside()) await giveUpHeadStart();
  const { imageProvider } = await import('../places.js');
  const { tools, runtimeDirectory } = await surroundings(loaded);
  // By the host's own network: one that is reached by way of its loopback (a proxy) is not reached from within.
  if (namespaces === 'use' && !isInside()) await (await imageProvider(loaded, tools)).image({ signal, progress });
  await enterRootless(loaded, { runtimeDirectory, tools, progress, mend: namespaces === 'use' }, { signal });
  tellMended(io, rootlessMended());
}

/**
 * The daemon is in the namespaces of rootless networks, from where it cannot start again what has died of them: this process
 * can. If not, that is told: much of what the daemon is asked for works all the same.
 */
async function mendNamespaces(io: Io, loaded: LoadedConfig, options: EngineOptions): Promise<void> {
  const { namespaces, progress, signal } = options;
  if (!loaded.config.rootless.enabled || namespaces !== 'use') return;
  const { mendRootless } = await import('../rootless.js');
  try {
    tellMended(io, await mendRootless(loaded, { ...(await surroundings(loaded)), progress, mend: true }, { signal }));
  } catch (error) {
    if (!hasCode(error, ...OBSTACLES)) throw error;
    io.stderr.print(`hyperplug: rootless network: what has died cannot be started again: ${error.message}\n`);
  }
}

function tellMended(io: Io, mended: readonly string[]): void {
  for (const text of mended) io.stderr.print(`hyperplug: rootless network: ${text}; started again\n`);
}

async function surroundings(loaded: LoadedConfig) {
  const { directoriesOf } = await import('../places.js');
  const { DebianToolProvider } = await import('../host/debian/tools.js');
  const { ensureDirectories } = await import('../host/paths.js');
  const directories = directoriesOf(loaded);
  ensureDirectories(directories);
  const { runtimeDirectory, cacheDirectory } = directories;
  return { runtimeDirectory, tools: new DebianToolProvider({ cacheDir: cacheDirectory }) };
}

/** The log of the configuration, to standard error. */
export async function loggerOf(
  io: Io,
  { logTo }: Pick<EngineOptions, 'logTo'>,
  serves = false,
): Promise<(loaded: LoadedConfig) => PluginLogger> {
  const { createLogger } = await import('../core/logging.js');
  return ({ config, secrets }) =>
    createLogger({
      ...config.log,
      secrets,
      destination: { write: (text) => logTo(text) },
      isTerminal: io.stderr.isTerminal,
      serves,
    });
}
