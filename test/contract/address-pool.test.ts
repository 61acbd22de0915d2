import type { AddressPool } from '../../src/core/address-pool.js';
import { LocalAddressPool, POOL_CAPABILITIES } from '../../src/plugins/local/address-pool.js';
import { addressPoolContract } from '../../src/testing/contracts/address-pool.js';
import { FakeAddressPool } from '../../src/testing/fakes/address-pool.js';
import { FakeStateStore } from '../../src/testing/fakes/state-store.js';

const runner = { describe, it, before, after, beforeEach, afterEach };
const shared = { durable: true, multiProcess: true };

describe('implementations of AddressPool', function () {
  this.timeout(60_000);
  const stores = new WeakMap<AddressPool, FakeStateStore>();
  const open = (store: FakeStateStore) => {
    const pool = new LocalAddressPool(store);
    stores.set(pool, store);
    return pool;
  };

  addressPoolContract({
    runner,
    label: 'local, on a store in memory',
    capabilities: POOL_CAPABILITIES,
    create: () => open(new FakeStateStore({ capabilities: shared })),
    attach: (pool) =>
      open(new FakeStateStore({ capabilities: shared, medium: (stores.get(pool) as FakeStateStore).medium })),
    failNextWrite: (pool) => {
      (stores.get(pool) as FakeStateStore).medium.failNextCommit = true;
    },
  });

  addressPoolContract({
    runner,
    label: 'fake',
    capabilities: new FakeAddressPool().capabilities,
    create: () => new FakeAddressPool(),
    failNextWrite: (pool) => {
      (pool as FakeAddressPool).medium.failNextWrite = true;
    },
  });
});
