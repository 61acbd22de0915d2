import type { JsonValue } from '../json.js';
import type { Origin } from './origin.js';

/** A configuration as it was written: each value with its origin (of a map's member: where its key stands). */
export type ConfigNode =
  | { readonly kind: 'scalar'; readonly value: null | boolean | number | string; readonly origin: Origin }
  | { readonly kind: 'list'; readonly items: readonly ConfigNode[]; readonly origin: Origin }
  | { readonly kind: 'map'; readonly entries: ReadonlyMap<string, ConfigNode>; readonly origin: Origin };

export const emptyTree: ConfigNode = { kind: 'map', entries: new Map(), origin: { kind: 'default' } };

const isNull = (node: ConfigNode) => node.kind === 'scalar' && node.value === null;

/**
 * `high` over `low`, key by key. Lists are replaced, as is anything that is not a map on both sides; except that null says
 * nothing of a map (`hypervisor:` with all its lines commented out).
 */
export function mergeTrees(low: ConfigNode, high: ConfigNode): ConfigNode {
  if (low.kind === 'map' && isNull(high)) return low;
  if (low.kind !== 'map' || high.kind !== 'map') return high;
  const entries = new Map(low.entries);
  for (const [key, node] of high.entries) {
    const below = low.entries.get(key);
    entries.set(key, below ? mergeTrees(below, node) : node);
  }
  return { kind: 'map', entries, origin: high.origin };
}

/** The node at `path`, or undefined. */
export function nodeOf(tree: ConfigNode, path: readonly PropertyKey[]): ConfigNode | undefined {
  let at: ConfigNode | undefined = tree;
  for (const key of path) {
    if (at?.kind === 'map') at = at.entries.get(String(key));
    else if (at?.kind === 'list') at = at.items[Number(key)];
    else return undefined;
  }
  return at;
}

/** The plain value; `replace` may give another string for the one at a path. */
export function plainValue(
  node: ConfigNode,
  replace: (text: string, path: readonly PropertyKey[], origin: Origin) => string = (text) => text,
  path: readonly PropertyKey[] = [],
): JsonValue {
  if (node.kind === 'scalar') {
    return typeof node.value === 'string' ? replace(node.value, path, node.origin) : node.value;
  }
  if (node.kind === 'list') return node.items.map((item, index) => plainValue(item, replace, [...path, index]));
  const object: Record<string, JsonValue> = {};
  for (const [key, member] of node.entries) {
    if (path.length === 0 && isNull(member)) continue; // A section with nothing in it.
    object[key] = plainValue(member, replace, [...path, key]);
  }
  return object;
}

/** A tree of a plain value, all of one origin. */
export function treeOf(value: JsonValue, origin: Origin): ConfigNode {
  if (Array.isArray(value))
    return { kind: 'list', items: value.map((item: JsonValue) => treeOf(item, origin)), origin };
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, member]) => [key, treeOf(member as JsonValue, origin)] as const);
    return { kind: 'map', entries: new Map(entries), origin };
  }
  return { kind: 'scalar', value: value as null | boolean | number | string, origin };
}

/** A tree that holds one value, at `path`. */
export function treeAt(path: readonly string[], value: JsonValue, origin: Origin): ConfigNode {
  return path.reduceRight<ConfigNode>(
    (node, key) => ({ kind: 'map', entries: new Map([[key, node]]), origin }),
    treeOf(value, origin),
  );
}
