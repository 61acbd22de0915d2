import assert from 'node:assert/strict';
import type { StateKey } from '../../../core/state-store.js';
import { expectCode } from '../../runner.js';
import type { StoreSuite } from './context.js';

/** Sorted as list() must return them; each would be misplaced or mistaken by a common shortcut. */
const ORDERED: readonly StateKey[] = [
  ['a', '-'],
  ['a', 'B'],
  ['a', 'b'],
  ['a', 'b', '0'],
  ['a', 'b', 'c'],
  ['a', 'b-'],
  ['a', 'b/c'],
  ['a', 'b0'],
  ['a', 'ba', 'a'],
  ['a', 'bb'],
];
const STRANGERS: readonly StateKey[] = [['a'], ['A', 'b'], ['a-', 'b'], ['a/b'], ['ab', 'c'], ['b', 'a']];

const BAD_KEYS: readonly unknown[] = [
  [''],
  ['a', ''],
  ['a b'],
  ['a\u0000b'],
  ['ä'],
  ['x'.repeat(129)],
  Array.from({ length: 9 }, () => 'a'),
  [1],
  'a',
];

export function keyContract(suite: StoreSuite): void {
  const { call, put, check } = suite;
  check('lists exactly what lies below a prefix', async (store) => {
    const all = [...STRANGERS, ...ORDERED];
    await store.transaction((transaction) => {
      for (const key of all) transaction.put(key, key.length);
    }, call());
    const keysBelow = async (prefix: StateKey) => sorted((await store.list(prefix, call())).map((entry) => entry.key));
    assert.deepEqual(await keysBelow(['a']), sorted(ORDERED));
    assert.deepEqual(await keysBelow(['a', 'b']), [
      ['a', 'b', '0'],
      ['a', 'b', 'c'],
    ]);
    assert.deepEqual(await keysBelow(['none']), []);
    assert.deepEqual(await keysBelow([]), sorted(all));
  });

  check('lists in key order, whatever the order of writing', async (store) => {
    for (const key of [...ORDERED].reverse()) await put(store, key, key.join('|'));
    const entries = await store.list(['a'], call());
    assert.deepEqual(
      entries,
      ORDERED.map((key) => ({ key, value: key.join('|') })),
    );
    const inside = await store.transaction((transaction) => transaction.list(['a']), call());
    assert.deepEqual(inside, entries);
  });

  check('takes the longest keys, and refuses malformed ones with STATE_KEY_INVALID', async (store) => {
    const longest = Array.from({ length: 8 }, (_, index) => `${index}${'x'.repeat(127)}`);
    await put(store, longest, 'long');
    assert.equal(await store.get(longest, call()), 'long');
    assert.equal((await store.list(longest.slice(0, 7), call())).length, 1);
    for (const bad of BAD_KEYS as readonly StateKey[]) {
      await expectCode(store.get(bad, call()), 'STATE_KEY_INVALID');
      await expectCode(store.list(bad, call()), 'STATE_KEY_INVALID');
      await expectCode(store.unreadable(bad, call()), 'STATE_KEY_INVALID');
      await expectCode(put(store, bad, 1), 'STATE_KEY_INVALID');
      await expectCode(
        store.transaction((transaction) => transaction.delete(bad), call()),
        'STATE_KEY_INVALID',
      );
    }
    await expectCode(store.get([], call()), 'STATE_KEY_INVALID');
    assert.equal((await store.list([], call())).length, 1);
  });
}

function sorted(keys: readonly StateKey[]): readonly StateKey[] {
  return [...keys].sort((one, other) => (one.join('\0') < other.join('\0') ? -1 : 1));
}
