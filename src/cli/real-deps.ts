import { readFileSync } from 'node:fs';
import type { ConfigOverride, LoadedConfig } from '../core/config/load-config.js';
import type { JsonValue } from '../core/json.js';
import type { PluginLogger } from '../core/plugin.js';
import type { CliDeps, EngineOptions, Io, PluginListing } from './deps.js';

/** The program itself beneath the commands. Only what a command needs is imported, and only when it is called. */
export function realDeps(io: Io): CliDeps {
  return {
    io,
    version: packageVersion(),
    async openHyperplug(options) {
      const { createHyperplug } = await import('../hyperplug.js');
      const { createLogger } = await import('../core/logging.js');
      return createHyperplug({
        ...configOptions(options),
        progress: options.progress,
        logger: (loaded: LoadedConfig): PluginLogger =>
          createLogger({
            ...loaded.config.log,
            secrets: loaded.secrets,
            destination: { write: (text) => options.logTo(text) },
            isTerminal: io.stderr.isTerminal,
          }),
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
      const { progress, signal, refresh } = options;
      return buildImage({ ...configOptions(options), progress, signal, refresh });
    },
  };
}

/** What the command line says goes over every file, under the flag's name. */
function configOptions({ configPath, driver, logLevel, logFormat, signal }: EngineOptions) {
  const overrides: ConfigOverride[] = [];
  const add = (path: readonly string[], value: string | undefined, flag: string) => {
    if (value !== undefined) overrides.push({ path, value, flag });
  };
  add(['hypervisor', 'driver'], driver, '--driver');
  add(['log', 'level'], logLevel, '--log-level');
  add(['log', 'format'], logFormat, '--log-format');
  return { ...(configPath === undefined ? {} : { configPath }), overrides, signal };
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
