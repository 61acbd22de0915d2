import assert from 'node:assert/strict';
import type { CallOptions } from '../../../core/calls.js';
import type { JsonValue } from '../../../core/json.js';
import type { StateKey, StateStore } from '../../../core/state-store.js';
import { callOptions } from '../../runner.js';
import type { StateStoreContract } from './types.js';

interface Bench {
  readonly store: StateStore;
  attach(): Promise<StateStore>;
}

export interface StoreSuite {
  call(): CallOptions;
  put(store: StateStore, key: StateKey, value: JsonValue): Promise<void>;
  describe(name: string, body: () => void): void;
  /** A test on a started store of its own, which is stopped, disposed of and looked for afterwards. */
  check(name: string, body: (store: StateStore, bench: Bench) => Promise<void>): void;
  /** The same on one that is not started. */
  checkUnstarted(name: string, body: (store: StateStore) => Promise<void>): void;
}

export function storeSuite(contract: StateStoreContract): StoreSuite {
  const { describe, it } = contract.runner;
  const call = () => callOptions(contract.callTimeoutMs);

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

  return {
    call,
    put: (store, key, value) => store.transaction((transaction) => transaction.put(key, value), call()),
    describe: (name, body) => void describe(name, body),
    check: (name, body) => void it(name, () => withStore(true, (bench) => body(bench.store, bench))),
    checkUnstarted: (name, body) => void it(name, () => withStore(false, (bench) => body(bench.store))),
  };
}
