import type { z } from 'zod';
import type { Plugin, PluginKind } from './plugin.js';
import { checkPlugin } from './registry/check-plugin.js';
import type { NoOptions } from './registry/options-schema.js';

/** What definePlugin takes: `options` absent means that there are none. */
export type PluginDefinition<K extends PluginKind, O extends z.ZodType> = Omit<
  Plugin<K, O>,
  'options' | 'description'
> & {
  readonly options?: O;
  readonly description?: string;
};

/**
 * Checks the shape of a plugin and freezes it, its capabilities included. Nothing is started and nothing is loaded.
 * The plugins of this package and third-party ones go through the same check when they are registered, so a plain object of
 * this shape is a plugin as well.
 * @throws PLUGIN_INVALID naming each field that is wrong; PLUGIN_API_VERSION.
 */
export function definePlugin<K extends PluginKind, O extends z.ZodType = NoOptions>(
  definition: PluginDefinition<K, O>,
): Plugin<K, O> {
  return checkPlugin(definition, 'definePlugin') as unknown as Plugin<K, O>;
}
