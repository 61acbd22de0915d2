import assert from 'node:assert/strict';
import { expectCode } from '../../runner.js';
import type { StoreSuite } from './context.js';
import type { StateStoreContract } from './types.js';

export function damagedContract(suite: StoreSuite, damage: NonNullable<StateStoreContract['damage']>): void {
  const { call, put, check } = suite;
  const reports = (how: 'garbage' | 'newer', code: 'STATE_CORRUPT' | 'STATE_VERSION') =>
    check(`${how}: ${code} for get, left out of list, reported by unreadable, kept until deleted`, async (store) => {
      await put(store, ['x', 'good'], 1);
      await put(store, ['x', 'bad'], 1);
      await damage(store, ['x', 'bad'], how);
      for (let round = 0; round < 2; round++) {
        await expectCode(store.get(['x', 'bad'], call()), code);
        await expectCode(
          store.transaction((transaction) => transaction.get(['x', 'bad']), call()),
          code,
        );
        assert.deepEqual(await store.list(['x'], call()), [{ key: ['x', 'good'], value: 1 }]);
        const found = await store.unreadable(['x'], call());
        assert.deepEqual(
          found.map(({ key }) => key),
          [['x', 'bad']],
        );
        await expectCode(Promise.reject(found[0]?.error), code);
      }
      assert.deepEqual(await store.unreadable(['y'], call()), []);
      assert.equal(await store.transaction((transaction) => transaction.delete(['x', 'bad']), call()), true);
      assert.deepEqual(await store.unreadable(['x'], call()), []);
      assert.equal(await store.get(['x', 'bad'], call()), undefined);
    });
  reports('garbage', 'STATE_CORRUPT');
  reports('newer', 'STATE_VERSION');
}
