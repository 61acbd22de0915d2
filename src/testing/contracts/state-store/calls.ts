import assert from 'node:assert/strict';
import { HyperplugError } from '../../../core/errors.js';
import type { StateTransaction } from '../../../core/state-store.js';
import { abortedOptions, expectCode } from '../../runner.js';
import type { StoreSuite } from './context.js';

export function callContract(suite: StoreSuite): void {
  const { call, put, check, checkUnstarted } = suite;
  check('does nothing when the signal has fired, and passes its reason on', async (store) => {
    await put(store, ['c'], 1);
    let ran = false;
    const body = (transaction: StateTransaction) => {
      ran = true;
      transaction.put(['c'], 2);
    };
    await expectCode(store.get(['c'], abortedOptions()), 'ABORTED');
    await expectCode(store.list(['c'], abortedOptions()), 'ABORTED');
    await expectCode(store.unreadable(['c'], abortedOptions()), 'ABORTED');
    await expectCode(store.transaction(body, abortedOptions()), 'ABORTED');
    const reason = new HyperplugError('TIMEOUT', 'creating pod p: no result after 5 ms');
    const late = { signal: AbortSignal.abort(reason) };
    assert.equal(await store.transaction(body, late).catch((error: unknown) => error), reason);
    assert.equal(ran, false);
    assert.equal(await store.get(['c'], call()), 1);
  });

  checkUnstarted('before start() a call works or says STATE_UNAVAILABLE', async (store) => {
    const early = put(store, ['c'], 1);
    const worked = await early.then(
      () => true,
      async (error: unknown) => {
        await expectCode(Promise.reject(error), 'STATE_UNAVAILABLE');
        return false;
      },
    );
    await store.start?.(call());
    assert.equal(await store.get(['c'], call()), worked ? 1 : undefined);
  });

  check('after stop(), which may come twice, every call says STATE_UNAVAILABLE', async (store) => {
    await put(store, ['c'], 1);
    await store.stop?.(call());
    await store.stop?.(call());
    if (!store.stop) return;
    await expectCode(store.get(['c'], call()), 'STATE_UNAVAILABLE');
    await expectCode(store.list(['c'], call()), 'STATE_UNAVAILABLE');
    await expectCode(store.unreadable(['c'], call()), 'STATE_UNAVAILABLE');
    await expectCode(put(store, ['c'], 2), 'STATE_UNAVAILABLE');
  });

  checkUnstarted('stop() without a start() or a call is no error', async () => {});
}
