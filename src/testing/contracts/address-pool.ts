import assert from 'node:assert/strict';
import { IPv4, IPv4CidrRange, IPv6, IPv6CidrRange } from 'ip-num';
import type { AddressPool, AddressPoolCapabilities, Allocation, IpAddress, IpRange } from '../../core/address-pool.js';
import type { ErrorCode } from '../../core/error-codes.js';
import { HyperplugError } from '../../core/errors.js';
import { abortedOptions, type ContractOptions, callOptions, expectCode } from '../runner.js';

export interface AddressPoolContract extends ContractOptions<AddressPool> {
  /** What the implementation declares; it decides which tests there are. */
  readonly capabilities: AddressPoolCapabilities;
  /** Another instance over the same data, as another process or a later one has it. Needed for durable. */
  attach?(pool: AddressPool): AddressPool | Promise<AddressPool>;
  /** Makes the pool's next write fail, as a full disk does. */
  failNextWrite?(pool: AddressPool): void | Promise<void>;
}

interface Bench {
  readonly pool: AddressPool;
  attach(): Promise<AddressPool>;
}

/** One family's networks, in text: the same tests run on both. */
interface Plan {
  readonly family: 4 | 6;
  /** A small network in canonical text, and named by another of its addresses. */
  readonly network: string;
  readonly sameNetwork: string;
  /** The address of that number in the network. */
  readonly at: (offset: number) => string;
  /** Offsets that can be allocated, the gateway (offset 1) apart. */
  readonly usable: readonly number[];
  /** Offsets that never can, the gateway apart. */
  readonly edges: readonly number[];
  /** The upper half of the network, and its offsets. */
  readonly half: string;
  readonly halfUsable: readonly number[];
  readonly other: string;
  readonly outside: string;
  /** Other spellings of the address at offset 5. */
  readonly spellings: readonly string[];
  readonly invalid: readonly string[];
  /** Networks without edges, with their addresses. */
  readonly tiny: readonly (readonly [string, readonly string[]])[];
  readonly huge: { readonly network: string; readonly last: string; readonly first: string; readonly capacity: bigint };
  readonly tooLarge: string;
  readonly otherFamily: string;
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

const PLANS: readonly Plan[] = [
  {
    family: 4,
    network: '10.9.8.16/28',
    sameNetwork: '10.9.8.21/28',
    at: (offset) => `10.9.8.${16 + offset}`,
    usable: numbers(2, 14),
    edges: [0, 15],
    half: '10.9.8.24/29',
    halfUsable: numbers(8, 14),
    other: '10.9.9.16/28',
    outside: '10.9.8.32',
    spellings: ['10.9.8.21', '10.9.8.21/28'],
    invalid: [
      '',
      ' ',
      'any',
      '10.9.8',
      '10.9.8.256',
      '10.9.8.021',
      ' 10.9.8.21',
      '10.9.8.21 ',
      '10.9.8.21/',
      '0x0a.9.8.21',
    ].concat([
      '10.9.8.21/24',
      '10.9.8.21/28/28',
      '10.9.8.21%eth0',
      '::ffff:10.9.8.21',
      'fd00::5',
      '10.9.8.-1',
      '168364053',
    ]),
    tiny: [
      ['10.9.7.4/31', ['10.9.7.4', '10.9.7.5']],
      ['10.9.7.9/32', ['10.9.7.9']],
    ],
    huge: { network: '10.0.0.0/8', first: '10.0.0.1', last: '10.255.255.254', capacity: 16_777_214n },
    tooLarge: '10.0.0.0/7',
    otherFamily: 'fd00::/124',
  },
  {
    family: 6,
    network: 'fd00:9:8::10/124',
    sameNetwork: 'FD00:9:8:0::0015/124',
    at: (offset) => `fd00:9:8::${(16 + offset).toString(16)}`,
    usable: numbers(2, 15),
    edges: [0],
    half: 'fd00:9:8::18/125',
    halfUsable: numbers(8, 15),
    other: 'fd00:9:9::10/124',
    outside: 'fd00:9:8::20',
    spellings: [
      'fd00:9:8::15',
      'FD00:9:8::15',
      'fd00:0009:0008:0:0:0:0:0015',
      'fd00:9:8::15/124',
      'fd00:9:8::0.0.0.21',
    ],
    invalid: [
      '',
      'any',
      'fd00:9:8',
      'fd00:9:8::1::5',
      'fd00:9:8::15%eth0',
      ' fd00:9:8::15',
      'fd00:9:8::00015',
      ':::',
    ].concat(['fd00:9:8::15/64', 'fd00:9:8::15/', 'fd00:9:8::g', '1:2:3:4:5:6:7:8:9', '10.9.8.21', '[fd00:9:8::15]']),
    tiny: [
      ['fd00:9:7::4/127', ['fd00:9:7::4', 'fd00:9:7::5']],
      ['fd00:9:7::9/128', ['fd00:9:7::9']],
    ],
    huge: {
      network: 'fd00:1:2:3::/64',
      first: 'fd00:1:2:3::1',
      last: 'fd00:1:2:3:ffff:ffff:ffff:ffff',
      capacity: 2n ** 64n - 1n,
    },
    tooLarge: 'fd00:1:2::/63',
    otherFamily: '10.9.8.16/28',
  },
];

const rangeOf = (text: string): IpRange =>
  text.includes(':') ? IPv6CidrRange.fromCidr(text) : IPv4CidrRange.fromCidr(text);
const addressOf = (text: string): IpAddress => (text.includes(':') ? new IPv6(text) : new IPv4(text));

/** The contract of AddressPool. `create()` gives an empty pool; the suite starts and stops it. */
export function addressPoolContract(contract: AddressPoolContract): void {
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
  const check = (name: string, body: (pool: AddressPool, bench: Bench) => Promise<void>) =>
    it(name, () => withPool((bench) => body(bench.pool, bench)));

  const family = (plan: Plan) => {
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

    describe('releases', () => {
      check(
        'takes back what was given, with or without the prefix, and says whether it was allocated',
        async (pool) => {
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
        },
      );

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

    if (!contract.capabilities.durable) return;
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
  };

  describe(`AddressPool contract${contract.label ? `: ${contract.label}` : ''}`, () => {
    check('declares its capabilities, frozen', async (pool) => {
      assert.deepEqual(pool.capabilities, contract.capabilities);
      assert.ok(Object.isFrozen(pool.capabilities));
      assert.match(pool.name, /^[a-z][a-z0-9-]*$/);
    });
    for (const plan of PLANS) {
      if (contract.capabilities.families.includes(plan.family)) describe(`IPv${plan.family}`, () => family(plan));
    }
  });
}
