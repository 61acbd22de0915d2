import assert from 'node:assert/strict';
import type { IpAddress, IpRange } from '../../../core/address-pool.js';
import { expectCode } from '../../runner.js';
import { addressOf, type FamilySuite, rangeOf } from './context.js';

export function networkContract(suite: FamilySuite): void {
  const { call, describe, check, plan, at, usable, range, register, next, take, drain, held } = suite;
  describe('networks', () => {
    check('are not found before they are registered', async (pool) => {
      const code = 'IPAM_NETWORK_NOT_FOUND';
      await register(pool, plan.other);
      await expectCode(next(pool), code);
      await expectCode(take(pool, at(5)), code);
      await expectCode(pool.release(range, at(5), call()), code);
      await expectCode(pool.list(range, call()), code);
      await expectCode(pool.usage(range, call()), code);
      await pool.unregister(range, call());
    });

    check('are one, whichever of their addresses names them', async (pool) => {
      await register(pool, plan.sameNetwork);
      assert.equal(await next(pool, plan.network), at(2));
      assert.equal(await next(pool, plan.sameNetwork), at(3));
      await register(pool, plan.network);
      assert.deepEqual(await held(pool, plan.sameNetwork), [at(2), at(3)]);
      await pool.unregister(rangeOf(plan.sameNetwork), call());
      await expectCode(next(pool), 'IPAM_NETWORK_NOT_FOUND');
    });

    check('keep apart from each other', async (pool) => {
      await register(pool);
      await register(pool, plan.other);
      const first = at(2);
      assert.equal(await next(pool), first);
      await next(pool, plan.other);
      assert.equal(await next(pool), at(3));
      assert.equal((await held(pool, plan.other)).length, 1);
      await pool.unregister(rangeOf(plan.other), call());
      assert.deepEqual(await held(pool), [first, at(3)]);
    });

    check('may be registered again: allocations and order stay', async (pool) => {
      await register(pool);
      assert.equal(await next(pool), at(2));
      await register(pool);
      assert.equal(await next(pool), at(3));
      assert.deepEqual(await held(pool), [at(2), at(3)]);
    });

    check('restricted to a part, give from it alone', async (pool) => {
      await register(pool, plan.network, plan.half);
      await expectCode(take(pool, at(5)), 'IPAM_ADDRESS_OUT_OF_RANGE');
      assert.deepEqual(await drain(pool), plan.halfUsable.map(at));
      assert.equal((await pool.usage(range, call())).capacity, BigInt(plan.halfUsable.length));
    });

    check('change their restriction only while unused', async (pool) => {
      await register(pool);
      await register(pool, plan.network, plan.half);
      assert.equal(await next(pool), at(8));
      await expectCode(register(pool), 'IPAM_SUBNET_CONFLICT');
      await register(pool, plan.network, plan.half);
      assert.deepEqual(await held(pool), [at(8)]);
      assert.equal(await pool.release(range, at(8), call()), true);
      await register(pool);
      assert.equal(await next(pool), at(2));
    });

    check('do not reserve what is allocated already', async (pool) => {
      await register(pool);
      await take(pool, at(5));
      const reserving = (offset: number) =>
        pool.register({ range, reserved: [addressOf(at(1)), addressOf(at(offset))] }, call());
      await expectCode(reserving(5), 'IPAM_SUBNET_CONFLICT');
      await reserving(6);
      await expectCode(take(pool, at(6)), 'IPAM_ADDRESS_RESERVED');
      assert.deepEqual(await held(pool), [at(5)]);
    });

    check('are refused when malformed, too large, or without a free address', async (pool) => {
      const bad: [IpRange, readonly IpAddress[], IpRange?][] = [
        [rangeOf(plan.tooLarge), []],
        [range, [addressOf(plan.outside)]],
        [range, [addressOf(plan.otherFamily.split('/')[0] as string)]],
        [range, [], rangeOf(plan.other)],
        [range, [], rangeOf(plan.huge.network)],
        [range, [], rangeOf(plan.otherFamily)],
        [range, [], rangeOf(`${at(0)}/${plan.family === 4 ? 32 : 128}`)],
        ['10.9.8.0/24' as unknown as IpRange, []],
      ];
      for (const [subject, reserved, restrictTo] of bad) {
        const network = { range: subject, reserved, ...(restrictTo ? { restrictTo } : {}) };
        await expectCode(pool.register(network, call()), 'IPAM_SUBNET_INVALID');
      }
      await expectCode(next(pool), 'IPAM_NETWORK_NOT_FOUND');
    });

    check('forget their allocations when unregistered, which may come twice', async (pool) => {
      await register(pool);
      await next(pool);
      await pool.unregister(range, call());
      await pool.unregister(range, call());
      await expectCode(next(pool), 'IPAM_NETWORK_NOT_FOUND');
      await register(pool);
      assert.deepEqual(await held(pool), []);
      assert.equal(await next(pool), at(2));
    });

    check('of one or two addresses give all of them', async (pool) => {
      for (const [network, addresses] of plan.tiny) {
        await register(pool, network);
        assert.deepEqual(await drain(pool, network), addresses);
        assert.equal((await pool.usage(rangeOf(network), call())).capacity, BigInt(addresses.length));
      }
    });

    check('as large as declared are held, to their last address', async (pool) => {
      const { network, first, last, capacity } = plan.huge;
      const huge = rangeOf(network);
      await register(pool, network);
      assert.equal((await pool.usage(huge, call())).capacity, capacity);
      assert.equal((await pool.request(huge, last, 'o', call())).address, last);
      assert.equal(await next(pool, network), first);
      assert.equal(await pool.release(huge, last, call()), true);
      assert.deepEqual(await held(pool, network), [first]);
    });

    check('are listed in order of address, and their use counted', async (pool) => {
      await register(pool);
      for (const offset of [9, 3, 12]) await take(pool, at(offset), `o${offset}`);
      const expected = [3, 9, 12].map((offset) => ({ address: at(offset), owner: `o${offset}` }));
      const listed = await pool.list(range, call());
      assert.deepEqual(
        listed.map(({ address, owner }) => ({ address, owner })),
        expected,
      );
      assert.deepEqual(await pool.usage(range, call()), {
        network: plan.network,
        capacity: BigInt(usable.length),
        allocated: 3n,
      });
    });
  });
}
