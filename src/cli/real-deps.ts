import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { JsonValue } from '../core/json.js';
import { settleHeadStart } from '../host/head-start.js';
import { SESSION_VARIABLE } from '../host/rootless/variable.js';
import { configOptions } from './config-options.js';
import type { CliDeps, Io, PluginListing } from './deps.js';
import { enterNamespaces, loggerOf, openHyperplug } from './open-hyperplug.js';

const LEAVE_TIMEOUT_MS = 30_000;

/** The program itself beneath the commands. Only what a command needs is imported, and only when it is called. */
export function realDeps(io: Io): CliDeps {
  // Told to this process by the one that it was before; nothing is imported for it where it was not.
  const inSession = io.env[SESSION_VARIABLE] !== undefined;
  return {
    io,
    version: packageVersion(),
    openHyperplug: (options) => openHyperplug(io, options),
    async keepNetworks(keep, signal) {
      const { keepRootless } = await import('../rootless.js');
      await keepRootless(keep, { signal });
    },
    async leave() {
      await settleHeadStart();
      if (!inSession) return;
      const { leaveRootless } = await import('../rootless.js');
      await leaveRootless({ signal: AbortSignal.timeout(LEAVE_TIMEOUT_MS) });
    },
    async runDaemon(options) {
      const { runDaemon } = await import('../daemon/run.js');
      const { openConfig } = await import('../hyperplug.js');
      await enterNamespaces(io, await openConfig(configOptions(options)), options);
      const { progress, socket, stopPods, signal, onReady } = options;
      await runDaemon({
        ...configOptions(options),
        ...(socket !== undefined && { socketPath: resolve(socket) }),
        progress,
        logger: await loggerOf(io, options, true),
        version: packageVersion(),
        stopPods,
        signal,
        onReady,
      });
    },
    async listPlugins(options) {
      const { openConfig } = await import('../hyperplug.js');
      const { SECTIONS } = await import('../core/config/schema.js');
      const { registry, config } = await openConfig(configOptions(options));
      return registry.list().map(({ plugin, source }): PluginListing => {
        const { section, selector } = SECTIONS[plugin.kind];
        return {
          kind: plugin.kind,
          name: plugin.name,
          description: plugin.description ?? '',
          apiVersion: plugin.apiVersion,
          source,
          selected: (config[section] as Readonly<Record<string, unknown>>)[selector] === plugin.name,
          capabilities: JSON.parse(JSON.stringify(plugin.capabilities)) as JsonValue,
        };
      });
    },
    async describeConfig(options) {
      const { openConfig } = await import('../hyperplug.js');
      const { renderConfig } = await import('../core/config/render-config.js');
      return renderConfig(await openConfig(configOptions(options)), { origins: options.origins });
    },
    async configSchema(options) {
      const { openConfig } = await import('../hyperplug.js');
      const { configJsonSchema } = await import('../core/config/json-schema.js');
      return configJsonSchema((await openConfig(configOptions(options))).registry);
    },
    async buildImage(options) {
      const { buildImage } = await import('../hyperplug.js');
      const { progress, signal, refresh, kernel } = options;
      return buildImage({ ...configOptions(options), progress, signal, refresh, kernel });
    },
  };
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
