import assert from 'node:assert/strict';
import { expectCode } from '../../runner.js';
import type { FamilySuite } from './context.js';

export function releaseContract(suite: FamilySuite): void {
  const { call, describe, check, plan, at, usable, range, register, next, take, held, allocated } = suite;
  describe('releases', () => {
    check('takes back what was given, with or without the prefix, and says whether it was allocated', async (pool) => {
      await register(pool);
      const first = await pool.request(range, undefined, 'o', call());
      const second = await pool.request(range, undefined, 'o', call());
      assert.equal(await pool.release(range, `${first.address}/${first.prefixLength}`, call()), true);
      assert.equal(await pool.release(range, second.address, call()), true);
      assert.deepEqual(await held(pool), []);
      assert.equal(await pool.release(range, first.address, call()), false);
      assert.equal(await pool.release(range, `${second.address}/${second.prefixLength}`, call()), false);
      assert.equal(await pool.release(range, at(1), call()), false);
      assert.equal(await take(pool, first.address), first.address);
    });

    check('refuses what is no address of the network, and releases nothing', async (pool) => {
      await register(pool);
      await take(pool, at(5));
      for (const text of [...plan.invalid, null, undefined] as string[]) {
        await expectCode(pool.release(range, text, call()), 'IPAM_ADDRESS_INVALID');
      }
      await expectCode(pool.release(range, plan.outside, call()), 'IPAM_ADDRESS_OUT_OF_RANGE');
      assert.deepEqual(await held(pool), [at(5)]);
    });

    check('never runs dry when every address is released again', async (pool) => {
      await register(pool);
      for (let round = 0; round < 3 * usable.length; round++) {
        const { address, prefixLength } = await pool.request(range, undefined, 'o', call());
        assert.equal(address, at(usable[round % usable.length] as number));
        assert.equal(await pool.release(range, `${address}/${prefixLength}`, call()), true);
      }
      assert.equal(await allocated(pool), 0);
    });

    check('releases all that an owner holds, in every network, and nothing else', async (pool) => {
      await register(pool);
      await register(pool, plan.other);
      const mine = [await next(pool, plan.network, 'me'), await next(pool, plan.other, 'me')];
      const theirs = await next(pool, plan.network, 'me too');
      mine.push(await next(pool, plan.network, 'me'));
      const released = await pool.releaseOwner('me', call());
      assert.deepEqual(released.map(({ address }) => address).sort(), mine.sort());
      assert.ok(released.every(({ owner }) => owner === 'me'));
      assert.deepEqual(await held(pool), [theirs]);
      assert.deepEqual(await held(pool, plan.other), []);
      assert.deepEqual(await pool.releaseOwner('me', call()), []);
    });
  });
}
