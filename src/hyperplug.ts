import { builtinPlugins } from './builtin-plugins.js';
import { withDeadline } from './core/calls.js';
import { type ConfigOverride, type LoadedConfig, loadConfig } from './core/config/load-config.js';
import type { GuestImage } from './core/guest-image.js';
import type { Hyperplug } from './core/pod/types.js';
import { silentProgress } from './core/progress.js';
import { chooseHypervisor, type HypervisorChoice } from './core/registry/choose-hypervisor.js';
import { PluginRegistry } from './core/registry/registry.js';
import { Engine, type EngineOptions } from './engine.js';
import { DebianToolProvider } from './host/debian/tools.js';
import { ensureDirectories } from './host/paths.js';
import { directoriesOf, IMAGE_TIMEOUT_MS, imageProvider, pluginPaths } from './places.js';

const KERNEL_TIMEOUT_MS = 5 * 60 * 60_000;
/** It may unpack a hypervisor. */
const CHOICE_TIMEOUT_MS = 10 * 60_000;

export interface CreateHyperplugOptions extends EngineOptions {
  /** Instead of ./hyperplug.yaml or .json and HYPERPLUG_CONFIG. */
  readonly configPath?: string;
  /** Over every file. */
  readonly overrides?: readonly ConfigOverride[];
  /** Plugins besides the built-in ones and those that the configuration names. */
  readonly plugins?: readonly unknown[];
  readonly signal?: AbortSignal;
}

/** A configuration with the plugins it can choose from; nothing runs yet. */
export async function openConfig(options: CreateHyperplugOptions = {}): Promise<LoadedConfig> {
  const registry = new PluginRegistry(builtinPlugins);
  for (const plugin of options.plugins ?? []) registry.add(plugin, 'given to createHyperplug()');
  const { configPath, overrides, signal } = options;
  return loadConfig({
    registry,
    ...(configPath ? { explicitPath: configPath } : {}),
    ...(overrides ? { overrides } : {}),
    ...(signal ? { signal } : {}),
  });
}

/**
 * Reads and checks the configuration; plugins start with the first call that needs them.
 * @throws CONFIG_*, PLUGIN_*: what is wrong with it, by field.
 */
export async function createHyperplug(options: CreateHyperplugOptions = {}): Promise<Hyperplug> {
  return openEngine(await openConfig(options), options);
}

/** On a configuration that has been read. `obstacle`: why the namespaces of rootless networks could not be entered. */
export async function openEngine(
  loaded: LoadedConfig,
  options: CreateHyperplugOptions,
  obstacle?: Error,
): Promise<Hyperplug> {
  return new Engine(loaded, options, loaded.automatic ? await bestHypervisor(loaded, options) : undefined, obstacle);
}

/** What `hypervisor.driver: auto` is here and now. @throws VM_HYPERVISOR_FAILED none works. */
function bestHypervisor(loaded: LoadedConfig, options: CreateHyperplugOptions): Promise<HypervisorChoice> {
  const directories = directoriesOf(loaded);
  const host = {
    tools: new DebianToolProvider({ cacheDir: directories.cacheDirectory }),
    progress: options.progress ?? silentProgress,
    paths: pluginPaths(directories),
  };
  return withDeadline('choice of the hypervisor', CHOICE_TIMEOUT_MS, options.signal, (call) =>
    chooseHypervisor(loaded.registry, (name) => loaded.select(name), host, call),
  );
}

/**
 * Builds the guest image that the configuration asks for; `refresh` looks for newer packages, `kernel` builds a kernel of
 * our own before, which takes many minutes. @throws IMAGE_BUILD_FAILED.
 */
export async function buildImage(
  options: CreateHyperplugOptions & { readonly refresh?: boolean; readonly kernel?: boolean } = {},
): Promise<GuestImage> {
  const loaded = await openConfig(options);
  const directories = directoriesOf(loaded);
  ensureDirectories(directories);
  const tools = new DebianToolProvider({ cacheDir: directories.cacheDirectory });
  const provider = await imageProvider(loaded, tools, options.refresh);
  const progress = options.progress ?? silentProgress;
  if (options.kernel) {
    await withDeadline('guest kernel', KERNEL_TIMEOUT_MS, options.signal, (call) =>
      provider.buildKernel({ signal: call.signal, progress }),
    );
  }
  return withDeadline('guest image', IMAGE_TIMEOUT_MS, options.signal, (call) =>
    provider.image({ signal: call.signal, progress }),
  );
}
