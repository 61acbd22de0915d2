import assert from 'node:assert/strict';
import { IPv4, IPv4CidrRange, IPv6, IPv6CidrRange } from 'ip-num';
import type { AddressPool, IpAddress, IpRange } from '../../../core/address-pool.js';
import type { CallOptions } from '../../../core/calls.js';
import { callOptions, expectCode } from '../../runner.js';
import type { Plan } from './plans.js';
import type { AddressPoolContract } from './types.js';

export const rangeOf = (text: string): IpRange =>
  text.includes(':') ? IPv6CidrRange.fromCidr(text) : IPv4CidrRange.fromCidr(text);
export const addressOf = (text: string): IpAddress => (text.includes(':') ? new IPv6(text) : new IPv4(text));

interface Bench {
  readonly pool: AddressPool;
  attach(): Promise<AddressPool>;
}

export interface PoolSuite {
  call(): CallOptions;
  describe(name: string, body: () => void): void;
  /** A test on a started pool of its own, which is stopped, disposed of and looked for afterwards. */
  check(name: string, body: (pool: AddressPool, bench: Bench) => Promise<void>): void;
}

export function poolSuite(contract: AddressPoolContract): PoolSuite {
  const { describe, it } = contract.runner;
  const call = () => callOptions(contract.callTimeoutMs);

  const withPool = async (body: (bench: Bench) => Promise<void>) => {
    const pool = await contract.create();
    const opened = [pool];
    try {
      await pool.start?.(call());
      await body({
        pool,
        attach: async () => {
          assert.ok(contract.attach, 'the contract needs attach() for these capabilities');
          const other = await contract.attach(pool);
          opened.push(other);
          await other.start?.(call());
          return other;
        },
      });
    } finally {
      for (const each of opened) {
        await each.stop?.(call());
        await each.stop?.(call());
      }
      await contract.dispose?.(pool);
    }
    assert.deepEqual(await contract.leftovers?.(), contract.leftovers && [], 'left behind');
  };

  return {
    call,
    describe: (name, body) => void describe(name, body),
    check: (name, body) => void it(name, () => withPool((bench) => body(bench.pool, bench))),
  };
}

export type FamilySuite = ReturnType<typeof familySuite>;

/** Short hands for the tests on one plan's small network. */
export function familySuite(suite: PoolSuite, plan: Plan) {
  const { call } = suite;
  const { at, usable } = plan;
  const range = rangeOf(plan.network);
  const all = usable.map(at);
  const register = (pool: AddressPool, network = plan.network, restrictTo?: string) =>
    pool.register(
      {
        range: rangeOf(network),
        reserved: network === plan.network || network === plan.sameNetwork ? [addressOf(at(1))] : [],
        ...(restrictTo === undefined ? {} : { restrictTo: rangeOf(restrictTo) }),
      },
      call(),
    );
  const next = async (pool: AddressPool, network = plan.network, owner = 'o') =>
    (await pool.request(rangeOf(network), undefined, owner, call())).address;
  const take = async (pool: AddressPool, address: string, owner = 'o') =>
    (await pool.request(range, address, owner, call())).address;
  const drain = async (pool: AddressPool, network = plan.network) => {
    const given: string[] = [];
    for (;;) {
      try {
        given.push(await next(pool, network));
      } catch (error) {
        await expectCode(Promise.reject(error), 'IPAM_EXHAUSTED');
        return given;
      }
      assert.ok(given.length < 64, 'it never runs dry');
    }
  };
  const held = async (pool: AddressPool, network = plan.network) =>
    (await pool.list(rangeOf(network), call())).map(({ address }) => address);
  const allocated = async (pool: AddressPool) => Number((await pool.usage(range, call())).allocated);
  return { ...suite, plan, at, usable, range, all, register, next, take, drain, held, allocated };
}
