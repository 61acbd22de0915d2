import assert from 'node:assert/strict';
import type { StateTransaction } from '../../../core/state-store.js';
import { expectCode } from '../../runner.js';
import type { StoreSuite } from './context.js';
import type { StateStoreContract } from './types.js';

export function transactionContract(suite: StoreSuite, contract: StateStoreContract): void {
  const { call, put, check } = suite;
  check('returns what the body returned, and shows the body its own writes', async (store) => {
    await put(store, ['t', 'old'], 1);
    const result = await store.transaction((transaction) => {
      transaction.put(['t', 'new'], 2);
      assert.equal(transaction.get(['t', 'new']), 2);
      assert.equal(transaction.delete(['t', 'old']), true);
      assert.equal(transaction.get(['t', 'old']), undefined);
      assert.equal(transaction.delete(['t', 'old']), false);
      return transaction.list(['t']).map((entry) => entry.key[1]);
    }, call());
    assert.deepEqual(result, ['new']);
    assert.equal(await store.transaction(() => undefined, call()), undefined);
  });

  check('commits nothing of a body that throws, and passes its error on', async (store) => {
    await put(store, ['t', 'a'], 1);
    const error = new Error('the body failed');
    const failing = store.transaction((transaction) => {
      transaction.put(['t', 'a'], 2);
      transaction.put(['t', 'b'], 2);
      transaction.delete(['t', 'a']);
      throw error;
    }, call());
    assert.equal(await failing.catch((thrown: unknown) => thrown), error);
    assert.deepEqual(await store.list(['t'], call()), [{ key: ['t', 'a'], value: 1 }]);
  });

  check('refuses a body that returns a promise, and commits nothing of it', async (store) => {
    const bodies = [
      async (transaction: StateTransaction) => transaction.put(['t'], 1),
      (transaction: StateTransaction) => {
        transaction.put(['t'], 1);
        return Promise.reject(new Error('never seen'));
      },
    ];
    for (const body of bodies) await assert.rejects(store.transaction(body, call()), TypeError);
    assert.equal(await store.get(['t'], call()), undefined);
  });

  check('runs each body once and by itself: concurrent increments all count', async (store) => {
    let runs = 0;
    const increment = () =>
      store.transaction((transaction) => {
        runs++;
        const next = ((transaction.get(['t']) as number | undefined) ?? 0) + 1;
        transaction.put(['t'], next);
        return next;
      }, call());
    const results = await Promise.all(Array.from({ length: 40 }, increment));
    assert.equal(await store.get(['t'], call()), 40);
    assert.equal(runs, 40);
    assert.deepEqual(
      results,
      Array.from({ length: 40 }, (_, index) => index + 1),
    );
  });

  check('keeps transactions apart: one that fails takes nothing from those beside it', async (store) => {
    const one = put(store, ['t', '1'], 1);
    const two = store.transaction((transaction) => {
      transaction.put(['t', '1'], 'wrong');
      transaction.put(['t', '2'], 'wrong');
      throw new Error('fails');
    }, call());
    const three = put(store, ['t', '3'], 3);
    const outcomes = await Promise.allSettled([one, two, three]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(
      (await store.list(['t'], call())).map(({ value }) => value),
      [1, 3],
    );
  });

  check('ends the view with the body: later use is a TypeError', async (store) => {
    let kept: StateTransaction | undefined;
    await store.transaction((transaction) => {
      kept = transaction;
    }, call());
    assert.throws(() => kept?.put(['t'], 1), TypeError);
    assert.throws(() => kept?.get(['t']), TypeError);
    await put(store, ['u'], 1);
    assert.equal(await store.get(['t'], call()), undefined);
  });

  if (contract.failNextCommit) {
    const { failNextCommit } = contract;
    check('says STATE_UNAVAILABLE when a commit fails, commits nothing, and goes on', async (store) => {
      await put(store, ['t'], 1);
      await failNextCommit(store);
      await expectCode(put(store, ['t'], 2), 'STATE_UNAVAILABLE');
      assert.equal(await store.get(['t'], call()), 1);
      await put(store, ['t'], 3);
      assert.equal(await store.get(['t'], call()), 3);
    });
  }
}
