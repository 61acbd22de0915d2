import assert from 'node:assert/strict';
import type { Allocation } from '../../../core/address-pool.js';
import { expectCode } from '../../runner.js';
import type { FamilySuite } from './context.js';
import { numbers } from './plans.js';

export function requestContract(suite: FamilySuite): void {
  const { call, describe, check, plan, at, usable, range, all, register, next, take, drain, held, allocated } = suite;
  describe('requests', () => {
    check('describes an allocation in canonical text', async (pool) => {
      await register(pool, plan.sameNetwork);
      const prefixLength = Number(plan.network.split('/')[1]);
      const expected: Allocation = { address: at(2), prefixLength, network: plan.network, owner: 'pod-1/eth0' };
      assert.deepEqual(await pool.request(range, undefined, 'pod-1/eth0', call()), expected);
      for (const [index, text] of plan.spellings.entries()) {
        const given = await pool.request(range, text, 'p', call());
        assert.deepEqual(given, { ...expected, address: at(5), owner: 'p' }, text);
        for (const other of plan.spellings) await expectCode(take(pool, other), 'IPAM_ADDRESS_TAKEN');
        const back = plan.spellings[(index + 1) % plan.spellings.length] as string;
        assert.equal(await pool.release(range, back, call()), true);
      }
    });

    check('gives the next free one after the last given', async (pool) => {
      await register(pool);
      assert.deepEqual([await next(pool), await next(pool), await next(pool)], [at(2), at(3), at(4)]);
      assert.equal(await pool.release(range, at(3), call()), true);
      assert.equal(await next(pool), at(5));
      assert.equal(await take(pool, at(9)), at(9));
      assert.equal(await next(pool), at(10));
      assert.equal(await pool.release(range, at(10), call()), true);
      assert.equal(await next(pool), at(11));
    });

    check('wraps round at the end, through every free address once', async (pool) => {
      await register(pool);
      assert.equal(await take(pool, at(7)), at(7));
      const order = [...numbers(8, usable.at(-1) as number), ...numbers(2, 6)].map(at);
      assert.deepEqual(await drain(pool), order);
      assert.equal(await pool.release(range, at(2), call()), true);
      assert.equal(await pool.release(range, at(8), call()), true);
      assert.deepEqual([await next(pool), await next(pool)], [at(8), at(2)]);
    });

    check('runs dry with IPAM_EXHAUSTED, and gives again what is released', async (pool) => {
      await register(pool);
      assert.deepEqual(await drain(pool), all);
      await expectCode(next(pool), 'IPAM_EXHAUSTED');
      assert.equal(await pool.release(range, at(6), call()), true);
      assert.equal(await next(pool), at(6));
      await expectCode(next(pool), 'IPAM_EXHAUSTED');
    });

    check('never gives network, broadcast, anycast or reserved addresses, asked for or not', async (pool) => {
      await register(pool);
      for (const offset of [...plan.edges, 1]) await expectCode(take(pool, at(offset)), 'IPAM_ADDRESS_RESERVED');
      const given = new Set(await drain(pool));
      for (const offset of [...plan.edges, 1]) assert.ok(!given.has(at(offset)), at(offset));
    });

    check('refuses an address that is taken, and leaves it to its owner', async (pool) => {
      await register(pool);
      await take(pool, at(5), 'first');
      const error = await expectCode(take(pool, at(5), 'second'), 'IPAM_ADDRESS_TAKEN');
      assert.match(error.message, /first/);
      assert.deepEqual(
        (await pool.list(range, call())).map(({ owner }) => owner),
        ['first'],
      );
    });

    check('takes no invalid text for "any": it is IPAM_ADDRESS_INVALID, named, and gives nothing', async (pool) => {
      await register(pool);
      for (const text of [...plan.invalid, null, 5, {}] as string[]) {
        const error = await expectCode(take(pool, text), 'IPAM_ADDRESS_INVALID');
        assert.match(error.message, /address/);
      }
      assert.deepEqual(await held(pool), []);
      assert.equal(await next(pool), at(2));
    });

    check('refuses an address outside of the network', async (pool) => {
      await register(pool);
      await expectCode(take(pool, plan.outside), 'IPAM_ADDRESS_OUT_OF_RANGE');
      assert.deepEqual(await held(pool), []);
    });

    check('gives concurrent callers different addresses, and exactly as many as there are', async (pool) => {
      await register(pool);
      const requests = Array.from({ length: usable.length + 5 }, (_, index) => next(pool, plan.network, `o${index}`));
      const results = await Promise.allSettled(requests);
      const given = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      assert.deepEqual([...given].sort(), [...all].sort());
      for (const result of results) {
        if (result.status === 'rejected') await expectCode(Promise.reject(result.reason), 'IPAM_EXHAUSTED');
      }
      assert.equal(await allocated(pool), usable.length);
    });
  });
}
