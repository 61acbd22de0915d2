import assert from 'node:assert/strict';
import type { ErrorCode } from '../../../core/error-codes.js';
import { HyperplugError } from '../../../core/errors.js';
import { abortedOptions, expectCode } from '../../runner.js';
import { type FamilySuite, rangeOf } from './context.js';
import type { AddressPoolContract } from './types.js';

export function callContract(suite: FamilySuite, contract: AddressPoolContract): void {
  const { call, describe, check, plan, at, range, register, next, take, held } = suite;
  describe('calls', () => {
    check('do nothing when the signal has fired, and pass its reason on', async (pool) => {
      await register(pool);
      await take(pool, at(5));
      const reason = new HyperplugError('TIMEOUT', 'creating pod p: no result after 5 ms');
      const late = { signal: AbortSignal.abort(reason) };
      const attempts = [
        (options: typeof late) => pool.register({ range: rangeOf(plan.other), reserved: [] }, options),
        (options: typeof late) => pool.unregister(range, options),
        (options: typeof late) => pool.request(range, undefined, 'o', options),
        (options: typeof late) => pool.request(range, at(7), 'o', options),
        (options: typeof late) => pool.release(range, at(5), options),
        (options: typeof late) => pool.releaseOwner('o', options),
        (options: typeof late) => pool.list(range, options),
        (options: typeof late) => pool.usage(range, options),
      ];
      for (const attempt of attempts) {
        await expectCode(attempt(abortedOptions()), 'ABORTED');
        assert.equal(
          await attempt(late).then(
            () => undefined,
            (error: unknown) => error,
          ),
          reason,
        );
      }
      assert.deepEqual(await held(pool), [at(5)]);
      await expectCode(pool.list(rangeOf(plan.other), call()), 'IPAM_NETWORK_NOT_FOUND');
    });

    const { failNextWrite } = contract;
    if (failNextWrite) {
      check('change nothing when they cannot be written down, and work again afterwards', async (pool) => {
        await register(pool);
        assert.equal(await next(pool), at(2));
        const codes: ErrorCode[] = ['STATE_UNAVAILABLE'];
        for (const attempt of [() => next(pool), () => take(pool, at(9))]) {
          await failNextWrite(pool);
          await expectCode(attempt(), ...codes);
        }
        await failNextWrite(pool);
        await expectCode(pool.release(range, at(2), call()), ...codes);
        await failNextWrite(pool);
        await expectCode(pool.releaseOwner('o', call()), ...codes);
        assert.deepEqual(await held(pool), [at(2)]);
        assert.deepEqual([await next(pool), await take(pool, at(9))], [at(3), at(9)]);
        assert.equal(await pool.release(range, at(2), call()), true);
      });
    }
  });
}
