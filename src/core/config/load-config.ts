import { homedir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import type { z } from 'zod';
import { HyperplugError, isHyperplugError } from '../errors.js';
import { deepFreeze, type JsonValue } from '../json.js';
import type { NetworkSpec } from '../network.js';
import { PLUGIN_KINDS, type PluginKind } from '../plugin.js';
import { checkSelection } from '../registry/check-selection.js';
import { loadPlugins, type PluginReference } from '../registry/load-plugins.js';
import type { PluginChoice, PluginRegistry, SelectedPlugins } from '../registry/registry.js';
import { dotted, schemaIssues } from '../schema-issues.js';
import { isMarked } from '../schema-walk.js';
import { configError, issuesError, nearestOrigin } from './config-errors.js';
import { type ConfigPlaces, readConfigFiles } from './find-files.js';
import { type Origin, originText } from './origin.js';
import { refusedNetworks } from './refused-networks.js';
import { AUTOMATIC, configSchema, type HyperplugConfig, SECTIONS } from './schema.js';
import { type ConfigNode, emptyTree, mergeTrees, nodeOf, plainValue, treeAt } from './tree.js';

/** A value that goes over every file. */
export interface ConfigOverride {
  /** `['hypervisor', 'driver']` */
  readonly path: readonly string[];
  readonly value: JsonValue;
  /** As the user wrote it, for messages: `--driver`. */
  readonly flag: string;
}

export interface LoadConfigOptions extends Partial<ConfigPlaces> {
  /** Holds the built-in plugins; those that the configuration names are loaded and added. */
  readonly registry: PluginRegistry;
  readonly overrides?: readonly ConfigOverride[];
  readonly signal?: AbortSignal;
}

export interface LoadedConfig {
  readonly config: HyperplugConfig;
  readonly registry: PluginRegistry;
  /** Absolute paths of the files read, the most general first. */
  readonly files: readonly string[];
  /** The networks as the backend gets them. */
  readonly networks: readonly NetworkSpec[];
  /** Those of them that are not made, by name: CONFIG_INVALID, why. */
  readonly refusedNetworks: ReadonlyMap<string, HyperplugError>;
  /** Of this very configuration; knows which values are secret. */
  readonly schema: z.ZodType<HyperplugConfig>;
  /** Every value marked secret that is text, for the log to leave out. */
  readonly secrets: readonly string[];
  /** Where the value at this path comes from: of a list or a map, where it begins. */
  originOf(path: readonly PropertyKey[]): Origin;
  /**
   * The selected plugins, checked against each other and this configuration; nothing is started.
   * @throws PLUGIN_OPTIONS_INVALID, PLUGIN_CAPABILITY_MISSING.
   */
  select(hypervisor?: string): SelectedPlugins;
  /** `hypervisor.driver: auto`: select() must be told which. */
  readonly automatic: boolean;
}

/**
 * Reads, merges and checks the configuration: defaults, the system's file, the user's, that of the current directory (or
 * the one that `--config` or HYPERPLUG_CONFIG names), overrides; each over those before it, key by key.
 * @throws CONFIG_NOT_FOUND, CONFIG_SYNTAX, CONFIG_INVALID, PLUGIN_OPTIONS_INVALID, PLUGIN_NOT_FOUND, PLUGIN_KIND and what
 * loadPlugins() throws. Messages name field, expectation, value, and file and line.
 */
export async function loadConfig(options: LoadConfigOptions): Promise<LoadedConfig> {
  const { registry } = options;
  const home = options.home ?? homedir();
  const cwd = resolve(options.cwd ?? process.cwd());
  const files = await readConfigFiles({ ...options, cwd, home, env: options.env ?? process.env });
  const overrides = (options.overrides ?? []).map(({ path, value, flag }) =>
    treeAt(path, value, { kind: 'command line', flag }),
  );
  const given = [...files.map((file) => file.tree), ...overrides].reduce(mergeTrees, emptyTree);
  const tree = [...rootlessDefaults(given), given].reduce(mergeTrees, emptyTree);
  refuseMalformed(tree);
  await loadPlugins(registry, pluginReferences(tree, cwd), options.signal ? { signal: options.signal } : {});

  const selected = Object.fromEntries(PLUGIN_KINDS.map((kind) => [kind, selectedName(registry, tree, kind)]));
  const schema = configSchema(registry, selected as Record<PluginKind, string>);
  const absolute = (text: string, path: readonly PropertyKey[], origin: Origin) => {
    if (!isMarked(schema, path, 'path') || isAbsolute(text)) return text;
    if (text.startsWith('~/')) return join(home, text.slice(2));
    return resolve(origin.kind === 'file' ? dirname(origin.file) : cwd, text);
  };
  const values = plainValue(tree, absolute);
  const result = schema.safeParse(values);
  if (!result.success) {
    const isOption = (path: readonly PropertyKey[]) => path.length > 1 && isPluginSection(registry, path);
    throw issuesError(schema, tree, schemaIssues(result.error.issues, values), isOption);
  }
  const config = deepFreeze(result.data);
  if (!Object.hasOwn(config.network.networks, config.pods.network)) {
    const names = Object.keys(config.network.networks).join(', ');
    throw configError(
      tree,
      ['pods', 'network'],
      `a configured network (${names})`,
      JSON.stringify(config.pods.network),
    );
  }
  const networks = networkSpecs(config);
  return {
    config,
    registry,
    files: files.map((file) => file.path),
    networks,
    refusedNetworks: refusedNetworks(tree, networks),
    schema,
    secrets: secretTexts(schema, tree),
    originOf: (path) => nodeOf(tree, path)?.origin ?? { kind: 'default' },
    automatic: selected.hypervisor === AUTOMATIC,
    select(hypervisor) {
      const nameOf = (kind: PluginKind) => (kind === 'hypervisor' && hypervisor) || (selected[kind] as string);
      const options = (kind: PluginKind, name: string) =>
        valueIn(values, [SECTIONS[kind].section, name]) as JsonValue | undefined;
      const choice = PLUGIN_KINDS.map((kind) => [kind, { name: nameOf(kind), options: options(kind, nameOf(kind)) }]);
      const plugins = registry.select(Object.fromEntries(choice) as PluginChoice);
      checkSelection(plugins, networks, config.pods);
      return plugins;
    },
  };
}

/** Without root a bridge is possible only in namespaces of one's own, and there it is what one wants. */
function rootlessDefaults(tree: ConfigNode): ConfigNode[] {
  const enabled = nodeOf(tree, ['rootless', 'enabled']);
  if (enabled?.kind !== 'scalar' || enabled.value !== true) return [];
  return [
    treeAt(['network', 'backend'], 'netlink', { kind: 'default' }),
    treeAt(['firewall', 'driver'], 'iptables', { kind: 'default' }),
  ];
}

function refuseMalformed(tree: ConfigNode): void {
  if (tree.kind !== 'map') {
    throw configError(tree, [], 'sections', tree.kind === 'list' ? 'a list' : 'a single value');
  }
  const visit = (node: ConfigNode, path: readonly PropertyKey[]): void => {
    if (node.kind === 'list') for (const [index, item] of node.items.entries()) visit(item, [...path, index]);
    if (node.kind !== 'map') return;
    for (const [key, member] of node.entries) {
      // Many a program takes it for the prototype.
      if (key === '__proto__') throw configError(tree, [...path, key], 'a known key', '"__proto__"');
      visit(member, [...path, key]);
    }
  };
  visit(tree, []);
}

function pluginReferences(tree: ConfigNode, cwd: string): PluginReference[] {
  const list = nodeOf(tree, ['plugins']);
  // Anything but a list of names is the schema's to refuse.
  if (list?.kind !== 'list') return [];
  return list.items.flatMap((item) => {
    if (item.kind !== 'scalar' || typeof item.value !== 'string' || item.value === '') return [];
    const baseDirectory = item.origin.kind === 'file' ? dirname(item.origin.file) : cwd;
    return [{ specifier: item.value, baseDirectory, namedIn: originText(item.origin) }];
  });
}

/** The name that the configuration selects, of a plugin that there is. */
function selectedName(registry: PluginRegistry, tree: ConfigNode, kind: PluginKind): string {
  const { section, selector, default: fallback } = SECTIONS[kind];
  const path = [section, selector];
  const node = nodeOf(tree, path);
  const name = node?.kind === 'scalar' && typeof node.value === 'string' ? node.value : undefined;
  if (kind === 'hypervisor' && name === AUTOMATIC) return AUTOMATIC;
  if (node && name === undefined) return fallback; // Not text: the schema refuses it.
  try {
    return registry.get(kind, name ?? fallback, dotted(path)).plugin.name;
  } catch (error) {
    if (!isHyperplugError(error)) throw error;
    const origin = originText(nearestOrigin(tree, path));
    const details = { ...error.details, origin };
    throw new HyperplugError(error.code, `${error.message} (${origin})`, { cause: error.cause, details });
  }
}

const isPluginSection = (registry: PluginRegistry, [section, key]: readonly PropertyKey[]): boolean =>
  registry.list().some(({ plugin }) => SECTIONS[plugin.kind].section === section && plugin.name === key);

function valueIn(value: JsonValue, path: readonly string[]): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], value);
}

function networkSpecs(config: HyperplugConfig): readonly NetworkSpec[] {
  return deepFreeze(
    Object.entries(config.network.networks).map(([name, { bridge, ...rest }]) => ({
      name,
      ...rest,
      ...(bridge === undefined ? {} : { bridge }),
    })),
  );
}

function secretTexts(schema: z.ZodType, tree: ConfigNode): readonly string[] {
  const secrets = new Set<string>();
  plainValue(tree, (text, path) => {
    if (isMarked(schema, path, 'secret')) secrets.add(text);
    return text;
  });
  return [...secrets];
}
