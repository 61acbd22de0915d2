import assert from 'node:assert/strict';
import type { StateStore } from '../../../core/state-store.js';
import type { StoreSuite } from './context.js';
import type { StateStoreContract } from './types.js';

export function sharingContract(suite: StoreSuite, contract: StateStoreContract): void {
  const { call, put, check } = suite;
  check('durable: what was committed is there after stop() and reopening', async (store, { attach }) => {
    await put(store, ['d', 'kept'], { a: 1 });
    await put(store, ['d', 'gone'], 1);
    await store.transaction((transaction) => transaction.delete(['d', 'gone']), call());
    await store.stop?.(call());
    const again = await attach();
    assert.deepEqual(await again.list(['d'], call()), [{ key: ['d', 'kept'], value: { a: 1 } }]);
  });

  if (!contract.capabilities.multiProcess) return;
  check("multiProcess: instances see each other's commits at once", async (store, { attach }) => {
    const other = await attach();
    assert.equal(await other.get(['d'], call()), undefined);
    for (let round = 0; round < 5; round++) {
      await put(store, ['d'], round);
      assert.equal(await other.get(['d'], call()), round);
      await put(other, ['d'], `other ${round}`);
      assert.equal(await store.get(['d'], call()), `other ${round}`);
    }
  });

  check('multiProcess: increments of several instances all count', async (store, { attach }) => {
    const stores = [store, await attach(), await attach()];
    const increment = (each: StateStore) =>
      each.transaction((transaction) => {
        transaction.put(['d'], ((transaction.get(['d']) as number | undefined) ?? 0) + 1);
      }, call());
    await Promise.all(
      stores.map(async (each) => {
        for (let round = 0; round < 10; round++) await increment(each);
      }),
    );
    assert.equal(await store.get(['d'], call()), 30);
  });
}
