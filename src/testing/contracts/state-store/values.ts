import assert from 'node:assert/strict';
import type { JsonValue } from '../../../core/json.js';
import type { StoreSuite } from './context.js';
import type { StateStoreContract } from './types.js';

const VALUES: readonly JsonValue[] = [
  null,
  true,
  0,
  -1.5,
  Number.MAX_SAFE_INTEGER,
  '',
  'ä\u0000\u2028𝒳"\\',
  [],
  {},
  [[], [null], {}],
  { a: { b: [1, { c: 'd' }] }, '': 1, constructor: 2 },
];

export function valueContract(suite: StoreSuite, contract: StateStoreContract): void {
  const { call, put, check } = suite;
  check('declares its capabilities, frozen', async (store) => {
    assert.deepEqual(store.capabilities, contract.capabilities);
    assert.ok(Object.isFrozen(store.capabilities));
    assert.match(store.name, /^[a-z][a-z0-9-]*$/);
  });

  check('gives back every JSON value, and undefined for what is not there', async (store) => {
    for (const [index, value] of VALUES.entries()) await put(store, ['v', `${index}`], value);
    for (const [index, value] of VALUES.entries()) {
      assert.deepEqual(await store.get(['v', `${index}`], call()), value);
    }
    assert.equal(await store.get(['v'], call()), undefined);
    assert.equal(await store.get(['v', '99'], call()), undefined);
  });

  check('replaces a value', async (store) => {
    await put(store, ['v'], { a: 1, b: 2 });
    await put(store, ['v'], { b: 3 });
    assert.deepEqual(await store.get(['v'], call()), { b: 3 });
  });

  check('copies values in: changing what was put changes nothing', async (store) => {
    const value = { list: [1], inner: { a: 1 } };
    await store.transaction((transaction) => {
      transaction.put(['v'], value);
      value.list.push(2);
    }, call());
    value.inner.a = 2;
    assert.deepEqual(await store.get(['v'], call()), { list: [1], inner: { a: 1 } });
  });

  check('copies values out: changing what was read changes nothing', async (store) => {
    await put(store, ['v', 'a'], { list: [1] });
    const grow = (value: unknown) => (value as { list: number[] }).list.push(2);
    grow(await store.get(['v', 'a'], call()));
    grow((await store.list(['v'], call()))[0]?.value);
    await store.transaction((transaction) => {
      grow(transaction.get(['v', 'a']));
      grow(transaction.list(['v'])[0]?.value);
      assert.deepEqual(transaction.get(['v', 'a']), { list: [1] });
    }, call());
    assert.deepEqual(await store.get(['v', 'a'], call()), { list: [1] });
  });

  check('leaves undefined properties out, and refuses what is not JSON with a TypeError', async (store) => {
    await put(store, ['v'], { a: 1, b: undefined } as unknown as JsonValue);
    assert.deepEqual(await store.get(['v'], call()), { a: 1 });
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const bad of [
      undefined,
      Number.NaN,
      1n,
      () => 1,
      new Date(0),
      new Map(),
      [undefined],
      { a: Infinity },
      cycle,
    ]) {
      await assert.rejects(put(store, ['w'], bad as JsonValue), TypeError);
    }
    assert.equal(await store.get(['w'], call()), undefined);
  });

  check('tells whether what it deleted was there', async (store) => {
    await put(store, ['v'], 1);
    const remove = () => store.transaction((transaction) => transaction.delete(['v']), call());
    assert.equal(await remove(), true);
    assert.equal(await remove(), false);
    assert.equal(await store.get(['v'], call()), undefined);
  });
}
