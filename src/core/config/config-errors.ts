import type { z } from 'zod';
import { combineErrors, HyperplugError } from '../errors.js';
import { dotted, type SchemaIssue } from '../schema-issues.js';
import { nodeAt, shapeOf, shownSafely } from '../schema-walk.js';
import { suggestion } from '../suggest.js';
import { type Origin, originText } from './origin.js';
import { type ConfigNode, nodeOf } from './tree.js';

/** Where the value at `path` was written; where it was not, its nearest part that was. */
export function nearestOrigin(tree: ConfigNode, path: readonly PropertyKey[]): Origin {
  for (let length = path.length; length > 0; length--) {
    const node = nodeOf(tree, path.slice(0, length));
    if (node) return node.origin;
  }
  return tree.kind === 'map' ? { kind: 'default' } : tree.origin;
}

const place = (origin: Origin) => (origin.kind === 'default' ? '' : ` (${originText(origin)})`);

/** An error about one field: where it stands, what was expected, what came. No secret is shown. */
export function configError(
  tree: ConfigNode,
  path: readonly PropertyKey[],
  expected: string,
  got: string,
  code: 'CONFIG_INVALID' | 'PLUGIN_OPTIONS_INVALID' = 'CONFIG_INVALID',
): HyperplugError {
  const origin = nearestOrigin(tree, path);
  const field = dotted(path);
  return new HyperplugError(code, `${field || 'configuration'}: expected ${expected}, got ${got}${place(origin)}`, {
    details: { field, expected, received: got, origin: originText(origin) },
  });
}

/** One error for all issues: CONFIG_INVALID, or PLUGIN_OPTIONS_INVALID where they are about plugins' options. */
export function issuesError(
  schema: z.ZodType,
  tree: ConfigNode,
  issues: readonly SchemaIssue[],
  isPluginOption: (path: readonly PropertyKey[]) => boolean,
): unknown {
  const errors = issues.map(({ path, expected, received, unknownKey }) => {
    const code = isPluginOption(path) ? 'PLUGIN_OPTIONS_INVALID' : 'CONFIG_INVALID';
    if (!unknownKey) return configError(tree, path, expected, shownSafely(schema, path, received), code);
    const parent = nodeAt(schema, path.slice(0, -1));
    const keys = Object.keys((parent && shapeOf(parent.schema)) ?? {});
    const known = keys.length > 0 ? `one of the keys ${keys.join(', ')}` : 'no keys';
    const key = String(path.at(-1));
    return configError(tree, path, known, `${JSON.stringify(key)}${suggestion(key, keys)}`, code);
  });
  return combineErrors((errors[0] as HyperplugError).code, 'the configuration', errors);
}
