import assert from 'node:assert/strict';
import type { AddressPool } from '../../../core/address-pool.js';
import { expectCode } from '../../runner.js';
import { type FamilySuite, rangeOf } from './context.js';

export function sharingContract(suite: FamilySuite): void {
  const { call, describe, check, plan, at, usable, range, all, register, next, take, held } = suite;
  describe('sharing', () => {
    check('durable: allocations, owners, order and restriction survive', async (pool, { attach }) => {
      await register(pool, plan.network, plan.half);
      await next(pool, plan.network, 'a');
      await take(pool, at(11), 'b');
      await pool.release(range, at(8), call());
      await pool.stop?.(call());
      const again = await attach();
      await register(again, plan.network, plan.half);
      assert.deepEqual(
        (await again.list(range, call())).map(({ address, owner }) => [address, owner]),
        [[at(11), 'b']],
      );
      await expectCode(take(again, at(11)), 'IPAM_ADDRESS_TAKEN');
      assert.equal(await next(again), at(12));
      await expectCode(take(again, at(5)), 'IPAM_ADDRESS_OUT_OF_RANGE');
    });

    check('shared: what one instance does the other knows at once', async (pool, { attach }) => {
      await register(pool);
      const other = await attach();
      for (const offset of usable) {
        assert.equal(await next(offset % 2 === 0 ? pool : other), at(offset));
      }
      for (const each of [pool, other]) await expectCode(next(each), 'IPAM_EXHAUSTED');
      assert.equal(await other.release(range, at(4), call()), true);
      assert.equal(await pool.release(range, at(4), call()), false);
      assert.equal(await next(pool), at(4));
      assert.equal((await other.releaseOwner('o', call())).length, usable.length);
      assert.deepEqual(await held(pool), []);
      await other.unregister(range, call());
      await expectCode(next(pool), 'IPAM_NETWORK_NOT_FOUND');
      await register(other);
      assert.equal(await next(pool), at(2));
    });

    check('shared: all() tells every allocation of every network, whoever registered it', async (pool, { attach }) => {
      if (!pool.all) return;
      await register(pool);
      await register(pool, plan.huge.network);
      await take(pool, at(3), 'a');
      await pool.request(rangeOf(plan.huge.network), undefined, 'b', call());
      const other = await attach();
      const told = (await other.all?.(call())) ?? [];
      assert.deepEqual(told.map(({ owner }) => owner).sort(), ['a', 'b']);
      assert.ok(told.some(({ address, network }) => address === at(3) && network === plan.network));
    });

    check('shared: instances that lag far behind catch up', async (pool, { attach }) => {
      await register(pool, plan.huge.network);
      const other = await attach();
      const huge = rangeOf(plan.huge.network);
      const first = await next(other, plan.huge.network);
      const given = new Set([first]);
      for (let count = 0; count < 60; count++) given.add(await next(pool, plan.huge.network));
      given.add(await next(other, plan.huge.network));
      assert.equal(given.size, 62);
      assert.equal((await other.usage(huge, call())).allocated, 62n);
      assert.equal(await pool.release(huge, first, call()), true);
      assert.equal(await other.release(huge, first, call()), false);
    });

    check('shared: concurrent requests of several instances get different addresses', async (pool, { attach }) => {
      await register(pool);
      const pools = [pool, await attach(), await attach()];
      const results = await Promise.all(usable.map((_, index) => next(pools[index % 3] as AddressPool)));
      assert.deepEqual([...results].sort(), [...all].sort());
      await expectCode(next(pool), 'IPAM_EXHAUSTED');
    });
  });
}
