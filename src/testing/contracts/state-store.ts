import assert from 'node:assert/strict';
import { HyperplugError } from '../../core/errors.js';
import type { JsonValue } from '../../core/json.js';
import type { StateKey, StateStore, StateStoreCapabilities, StateTransaction } from '../../core/state-store.js';
import { abortedOptions, type ContractOptions, callOptions, expectCode } from '../runner.js';

export interface StateStoreContract extends ContractOptions<StateStore> {
  /** What the implementation declares; it decides which tests there are. */
  readonly capabilities: StateStoreCapabilities;
  /** Another instance over the same data, as another process or a later one has it. Needed for durable and multiProcess. */
  attach?(store: StateStore): StateStore | Promise<StateStore>;
  /** Puts behind the store's back what is no record, or one of a newer version, under a key. */
  damage?(store: StateStore, key: StateKey, how: 'garbage' | 'newer'): void | Promise<void>;
  /** Makes the next commit fail, as a full disk does. */
  failNextCommit?(store: StateStore): void | Promise<void>;
}

interface Bench {
  readonly store: StateStore;
  attach(): Promise<StateStore>;
}

const VALUES: readonly JsonValue[] = [
  null,
  true,
  0,
  -1.5,
  Number.MAX_SAFE_INTEGER,
  '',
  'ä\u0000\u2028𝒳"\\',
  [],
  {},
  [[], [null], {}],
  { a: { b: [1, { c: 'd' }] }, '': 1, constructor: 2 },
];

/** Sorted as list() must return them; each would be misplaced or mistaken by a common shortcut. */
const ORDERED: readonly StateKey[] = [
  ['a', '-'],
  ['a', 'B'],
  ['a', 'b'],
  ['a', 'b', '0'],
  ['a', 'b', 'c'],
  ['a', 'b-'],
  ['a', 'b/c'],
  ['a', 'b0'],
  ['a', 'ba', 'a'],
  ['a', 'bb'],
];
const STRANGERS: readonly StateKey[] = [['a'], ['A', 'b'], ['a-', 'b'], ['a/b'], ['ab', 'c'], ['b', 'a']];

const BAD_KEYS: readonly unknown[] = [
  [''],
  ['a', ''],
  ['a b'],
  ['a\u0000b'],
  ['ä'],
  ['x'.repeat(129)],
  Array.from({ length: 9 }, () => 'a'),
  [1],
  'a',
];

/** The contract of StateStore. `create()` gives an empty store; the suite starts and stops it. */
export function stateStoreContract(contract: StateStoreContract): void {
  const { describe, it } = contract.runner;
  const call = () => callOptions(contract.callTimeoutMs);
  const put = (store: StateStore, key: StateKey, value: JsonValue) =>
    store.transaction((transaction) => transaction.put(key, value), call());

  const withStore = async (start: boolean, body: (bench: Bench) => Promise<void>) => {
    const store = await contract.create();
    const opened = [store];
    try {
      if (start) await store.start?.(call());
      await body({
        store,
        attach: async () => {
          assert.ok(contract.attach, 'the contract needs attach() for these capabilities');
          const other = await contract.attach(store);
          opened.push(other);
          await other.start?.(call());
          return other;
        },
      });
    } finally {
      for (const each of opened) await each.stop?.(call());
      await contract.dispose?.(store);
    }
    assert.deepEqual(await contract.leftovers?.(), contract.leftovers && [], 'left behind');
  };
  const check = (name: string, body: (store: StateStore, bench: Bench) => Promise<void>) =>
    it(name, () => withStore(true, (bench) => body(bench.store, bench)));

  const values = () => {
    check('declares its capabilities, frozen', async (store) => {
      assert.deepEqual(store.capabilities, contract.capabilities);
      assert.ok(Object.isFrozen(store.capabilities));
      assert.match(store.name, /^[a-z][a-z0-9-]*$/);
    });

    check('gives back every JSON value, and undefined for what is not there', async (store) => {
      for (const [index, value] of VALUES.entries()) await put(store, ['v', `${index}`], value);
      for (const [index, value] of VALUES.entries()) {
        assert.deepEqual(await store.get(['v', `${index}`], call()), value);
      }
      assert.equal(await store.get(['v'], call()), undefined);
      assert.equal(await store.get(['v', '99'], call()), undefined);
    });

    check('replaces a value', async (store) => {
      await put(store, ['v'], { a: 1, b: 2 });
      await put(store, ['v'], { b: 3 });
      assert.deepEqual(await store.get(['v'], call()), { b: 3 });
    });

    check('copies values in: changing what was put changes nothing', async (store) => {
      const value = { list: [1], inner: { a: 1 } };
      await store.transaction((transaction) => {
        transaction.put(['v'], value);
        value.list.push(2);
      }, call());
      value.inner.a = 2;
      assert.deepEqual(await store.get(['v'], call()), { list: [1], inner: { a: 1 } });
    });

    check('copies values out: changing what was read changes nothing', async (store) => {
      await put(store, ['v', 'a'], { list: [1] });
      const grow = (value: unknown) => (value as { list: number[] }).list.push(2);
      grow(await store.get(['v', 'a'], call()));
      grow((await store.list(['v'], call()))[0]?.value);
      await store.transaction((transaction) => {
        grow(transaction.get(['v', 'a']));
        grow(transaction.list(['v'])[0]?.value);
        assert.deepEqual(transaction.get(['v', 'a']), { list: [1] });
      }, call());
      assert.deepEqual(await store.get(['v', 'a'], call()), { list: [1] });
    });

    check('leaves undefined properties out, and refuses what is not JSON with a TypeError', async (store) => {
      await put(store, ['v'], { a: 1, b: undefined } as unknown as JsonValue);
      assert.deepEqual(await store.get(['v'], call()), { a: 1 });
      const cycle: unknown[] = [];
      cycle.push(cycle);
      for (const bad of [
        undefined,
        Number.NaN,
        1n,
        () => 1,
        new Date(0),
        new Map(),
        [undefined],
        { a: Infinity },
        cycle,
      ]) {
        await assert.rejects(put(store, ['w'], bad as JsonValue), TypeError);
      }
      assert.equal(await store.get(['w'], call()), undefined);
    });

    check('tells whether what it deleted was there', async (store) => {
      await put(store, ['v'], 1);
      const remove = () => store.transaction((transaction) => transaction.delete(['v']), call());
      assert.equal(await remove(), true);
      assert.equal(await remove(), false);
      assert.equal(await store.get(['v'], call()), undefined);
    });
  };

  const keys = () => {
    check('lists exactly what lies below a prefix', async (store) => {
      const all = [...STRANGERS, ...ORDERED];
      await store.transaction((transaction) => {
        for (const key of all) transaction.put(key, key.length);
      }, call());
      const keysBelow = async (prefix: StateKey) =>
        sorted((await store.list(prefix, call())).map((entry) => entry.key));
      assert.deepEqual(await keysBelow(['a']), sorted(ORDERED));
      assert.deepEqual(await keysBelow(['a', 'b']), [
        ['a', 'b', '0'],
        ['a', 'b', 'c'],
      ]);
      assert.deepEqual(await keysBelow(['none']), []);
      assert.deepEqual(await keysBelow([]), sorted(all));
    });

    check('lists in key order, whatever the order of writing', async (store) => {
      for (const key of [...ORDERED].reverse()) await put(store, key, key.join('|'));
      const entries = await store.list(['a'], call());
      assert.deepEqual(
        entries,
        ORDERED.map((key) => ({ key, value: key.join('|') })),
      );
      const inside = await store.transaction((transaction) => transaction.list(['a']), call());
      assert.deepEqual(inside, entries);
    });

    check('takes the longest keys, and refuses malformed ones with STATE_KEY_INVALID', async (store) => {
      const longest = Array.from({ length: 8 }, (_, index) => `${index}${'x'.repeat(127)}`);
      await put(store, longest, 'long');
      assert.equal(await store.get(longest, call()), 'long');
      assert.equal((await store.list(longest.slice(0, 7), call())).length, 1);
      for (const bad of BAD_KEYS as readonly StateKey[]) {
        await expectCode(store.get(bad, call()), 'STATE_KEY_INVALID');
        await expectCode(store.list(bad, call()), 'STATE_KEY_INVALID');
        await expectCode(store.unreadable(bad, call()), 'STATE_KEY_INVALID');
        await expectCode(put(store, bad, 1), 'STATE_KEY_INVALID');
        await expectCode(
          store.transaction((transaction) => transaction.delete(bad), call()),
          'STATE_KEY_INVALID',
        );
      }
      await expectCode(store.get([], call()), 'STATE_KEY_INVALID');
      assert.equal((await store.list([], call())).length, 1);
    });
  };

  const transactions = () => {
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
  };

  const calls = () => {
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

    it('before start() a call works or says STATE_UNAVAILABLE', () =>
      withStore(false, async ({ store }) => {
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
      }));

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

    it('stop() without a start() or a call is no error', () => withStore(false, async () => {}));
  };

  const sharing = () => {
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
  };

  const damaged = (damage: NonNullable<StateStoreContract['damage']>) => {
    const reports = (how: 'garbage' | 'newer', code: 'STATE_CORRUPT' | 'STATE_VERSION') =>
      check(`${how}: ${code} for get, left out of list, reported by unreadable, kept until deleted`, async (store) => {
        await put(store, ['x', 'good'], 1);
        await put(store, ['x', 'bad'], 1);
        await damage(store, ['x', 'bad'], how);
        for (let round = 0; round < 2; round++) {
          await expectCode(store.get(['x', 'bad'], call()), code);
          await expectCode(
            store.transaction((transaction) => transaction.get(['x', 'bad']), call()),
            code,
          );
          assert.deepEqual(await store.list(['x'], call()), [{ key: ['x', 'good'], value: 1 }]);
          const found = await store.unreadable(['x'], call());
          assert.deepEqual(
            found.map(({ key }) => key),
            [['x', 'bad']],
          );
          await expectCode(Promise.reject(found[0]?.error), code);
        }
        assert.deepEqual(await store.unreadable(['y'], call()), []);
        assert.equal(await store.transaction((transaction) => transaction.delete(['x', 'bad']), call()), true);
        assert.deepEqual(await store.unreadable(['x'], call()), []);
        assert.equal(await store.get(['x', 'bad'], call()), undefined);
      });
    reports('garbage', 'STATE_CORRUPT');
    reports('newer', 'STATE_VERSION');
  };

  describe(`StateStore contract${contract.label ? `: ${contract.label}` : ''}`, () => {
    describe('values', values);
    describe('keys', keys);
    describe('transactions', transactions);
    describe('calls', calls);
    if (contract.capabilities.durable) describe('sharing', sharing);
    const { damage } = contract;
    if (damage) describe('damaged records', () => damaged(damage));
  });
}

function sorted(keys: readonly StateKey[]): readonly StateKey[] {
  return [...keys].sort((one, other) => (one.join('\0') < other.join('\0') ? -1 : 1));
}
