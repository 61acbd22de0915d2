import { HyperplugError } from '../errors.js';
import { deepFreeze } from '../json.js';
import { type AnyPlugin, PLUGIN_KINDS, type Plugin, type PluginKind } from '../plugin.js';
import { dotted, schemaIssues } from '../schema-issues.js';
import { nodeAt, shapeOf, shownSafely } from '../schema-walk.js';
import { suggestion } from '../suggest.js';
import { checkPlugin } from './check-plugin.js';
import { type FieldProblem, identityOf, pluginError } from './plugin-error.js';

/** A plugin that can be selected. */
export interface KnownPlugin<K extends PluginKind = PluginKind> {
  readonly plugin: Plugin<K>;
  /** Where it came from: `built in`, or `/etc/hyperplug/local.js, named in /etc/hyperplug/hyperplug.yaml:4`. */
  readonly source: string;
}

/** Which plugin of each kind, with its options as given (undefined: none). */
export type PluginChoice = { readonly [K in PluginKind]: { readonly name: string; readonly options?: unknown } };

/** One plugin of each kind, with its options parsed, complete and frozen. */
export type SelectedPlugins = { readonly [K in PluginKind]: KnownPlugin<K> & { readonly options: unknown } };

/** The plugins there are. It imports none: built-in ones are handed in, third-party ones come from loadPlugins(). */
export class PluginRegistry {
  readonly #known = new Map<string, KnownPlugin>();

  /** @param builtins the plugins that come with the package. @throws as add(). */
  constructor(builtins: Iterable<unknown> = []) {
    for (const plugin of builtins) this.add(plugin, 'built in');
  }

  /** @throws PLUGIN_INVALID, PLUGIN_API_VERSION; PLUGIN_NAME_TAKEN with where both came from. */
  add(value: unknown, source: string): AnyPlugin {
    const plugin = checkPlugin(value, source);
    const key = `${plugin.kind}/${plugin.name}`;
    const taken = this.#known.get(key);
    if (taken) {
      throw pluginError('PLUGIN_NAME_TAKEN', identityOf({ plugin, source }), {
        field: 'name',
        expected: `a name that no other ${plugin.kind} plugin has (${plugin.name} is ${taken.source})`,
        received: plugin.name,
      });
    }
    this.#known.set(key, { plugin, source });
    return plugin;
  }

  /** All, or those of one kind; in kind order, then by name. */
  list<K extends PluginKind = PluginKind>(kind?: K): readonly KnownPlugin<K>[] {
    const rank = (known: KnownPlugin) => `${PLUGIN_KINDS.indexOf(known.plugin.kind)} ${known.plugin.name}`;
    return [...this.#known.values()]
      .filter((known) => kind === undefined || known.plugin.kind === kind)
      .sort((a, b) => (rank(a) < rank(b) ? -1 : 1)) as unknown as KnownPlugin<K>[];
  }

  /**
   * @param field where the name stands, for messages: `hypervisor.driver`.
   * @throws PLUGIN_KIND a plugin of that name is of another kind; PLUGIN_NOT_FOUND with the names there are.
   */
  get<K extends PluginKind>(kind: K, name: string, field: string = kind): KnownPlugin<K> {
    const found = this.#known.get(`${kind}/${name}`);
    if (found) return found as unknown as KnownPlugin<K>;
    const other = [...this.#known.values()].find(({ plugin }) => plugin.name === name);
    const names = this.list(kind).map(({ plugin }) => plugin.name);
    const details = { field, expected: names, received: name };
    const expected = `expected a plugin of kind ${kind} (known: ${names.join(', ') || 'none'})`;
    if (other) {
      const message = `${field}: ${expected}, got ${name} (${other.source}), which is of kind ${other.plugin.kind}`;
      throw new HyperplugError('PLUGIN_KIND', message, { details: { ...details, plugin: name } });
    }
    const message = `${field}: ${expected}, got ${JSON.stringify(name)}${suggestion(name, names)}`;
    throw new HyperplugError('PLUGIN_NOT_FOUND', message, { details });
  }

  /** One plugin of each kind. @throws as get(); PLUGIN_OPTIONS_INVALID. */
  select(choice: PluginChoice): SelectedPlugins {
    const selectOne = <K extends PluginKind>(kind: K) => {
      const known = this.get(kind, choice[kind].name);
      return { ...known, options: parseOptions(known, choice[kind].options ?? {}) };
    };
    return Object.freeze(Object.fromEntries(PLUGIN_KINDS.map((kind) => [kind, selectOne(kind)]))) as SelectedPlugins;
  }
}

/** @throws PLUGIN_OPTIONS_INVALID with every option that does not fit; secrets are not shown. */
export function parseOptions({ plugin, source }: KnownPlugin, given: unknown): unknown {
  const result = plugin.options.safeParse(given);
  if (result.success) return deepFreeze(result.data);
  const problems = schemaIssues(result.error.issues, given).map((issue): FieldProblem => {
    const field = dotted(['options', ...issue.path]);
    if (issue.unknownKey) {
      const known = Object.keys(
        shapeOf(nodeAt(plugin.options, issue.path.slice(0, -1))?.schema ?? plugin.options) ?? {},
      );
      const expected = known.length > 0 ? `one of the options ${known.join(', ')}` : 'no options';
      return { field, expected, received: issue.received, hint: suggestion(String(issue.received), known) };
    }
    // Neither message nor details carry the value, which may be a secret.
    const got = shownSafely(plugin.options, issue.path, issue.received);
    return { field, expected: issue.expected, received: got, got };
  });
  throw pluginError('PLUGIN_OPTIONS_INVALID', identityOf({ plugin, source }), [problems[0]!, ...problems.slice(1)]);
}
