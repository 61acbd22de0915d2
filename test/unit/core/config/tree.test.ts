import { expect } from 'chai';
import fc from 'fast-check';
import {
  type ConfigNode,
  emptyTree,
  mergeTrees,
  nodeOf,
  plainValue,
  treeAt,
  treeOf,
} from '../../../../src/core/config/tree.js';
import type { JsonValue } from '../../../../src/core/json.js';

const isMap = (value: unknown): value is Record<string, JsonValue> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Few keys, so that layers meet; null apart, which has a rule of its own. */
const scalar = fc.oneof(fc.integer(), fc.boolean(), fc.constantFrom('x', 'y'));
const { tree: anyValue } = fc.letrec<{ tree: JsonValue; map: JsonValue }>((tie) => ({
  tree: fc.oneof({ depthSize: 'small' }, scalar, fc.array(scalar, { maxLength: 3 }), tie('map')),
  map: fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('tree'), { maxKeys: 3 }),
}));
const layer = fc.dictionary(fc.constantFrom('a', 'b', 'c'), anyValue, { maxKeys: 3 }) as fc.Arbitrary<JsonValue>;

/** The rule, once more, on plain values. */
function merged(low: JsonValue | undefined, high: JsonValue): JsonValue {
  if (!isMap(low) || !isMap(high)) return high;
  const result: Record<string, JsonValue> = { ...low };
  for (const [key, value] of Object.entries(high)) result[key] = merged(low[key], value as JsonValue);
  return result;
}

const from = (value: JsonValue, flag: string): ConfigNode => treeOf(value, { kind: 'command line', flag });

function leaves(value: JsonValue, path: (string | number)[] = []): (string | number)[][] {
  if (!isMap(value)) return [path];
  return Object.entries(value).flatMap(([key, member]) => leaves(member as JsonValue, [...path, key]));
}

describe('mergeTrees', () => {
  it('merges maps key by key and replaces anything else', () => {
    fc.assert(
      fc.property(fc.array(layer, { minLength: 1, maxLength: 4 }), (layers) => {
        const tree = layers.map((value, i) => from(value, `${i}`)).reduce(mergeTrees, emptyTree);
        expect(plainValue(tree)).to.deep.equal(layers.reduce<JsonValue>((low, high) => merged(low, high), {}));
      }),
    );
  });

  it('knows of every value which layer gave it', () => {
    fc.assert(
      fc.property(fc.array(layer, { minLength: 1, maxLength: 4 }), (layers) => {
        const trees = layers.map((value, i) => from(value, `${i}`));
        const tree = trees.reduce(mergeTrees, emptyTree);
        for (const path of leaves(plainValue(tree))) {
          if (path.length === 0) continue;
          const node = nodeOf(tree, path)!;
          const flag = node.origin.kind === 'command line' ? Number(node.origin.flag) : -1;
          // That layer has this very value, and no later one says anything of it.
          expect(plainValue(nodeOf(trees[flag]!, path)!)).to.deep.equal(plainValue(node));
          for (const later of trees.slice(flag + 1)) expect(nodeOf(later, path)).to.equal(undefined);
        }
      }),
    );
  });

  it('takes null over a map as nothing said, and over anything else as null', () => {
    const low = from({ a: { b: 1 }, c: 2 }, 'low');
    const high = from({ a: null, c: null }, 'high');
    expect(nodeOf(mergeTrees(low, high), ['a', 'b'])?.origin).to.deep.include({ flag: 'low' });
    expect(nodeOf(mergeTrees(low, high), ['c'])).to.deep.include({ value: null });
  });
});

describe('plainValue', () => {
  it('leaves out sections with nothing in them', () => {
    expect(plainValue(from({ a: null, b: { c: null } }, 'x'))).to.deep.equal({ b: { c: null } });
  });

  it('gives paths and origins to what replaces text', () => {
    const tree = mergeTrees(from({ a: ['x'] }, 'f'), treeAt(['b', 'c'], 'y', { kind: 'command line', flag: 'g' }));
    const seen: unknown[] = [];
    const value = plainValue(tree, (text, path, origin) => {
      seen.push([path, origin.kind === 'command line' && origin.flag]);
      return text.toUpperCase();
    });
    expect(value).to.deep.equal({ a: ['X'], b: { c: 'Y' } });
    expect(seen).to.deep.equal([
      [['a', 0], 'f'],
      [['b', 'c'], 'g'],
    ]);
  });
});
