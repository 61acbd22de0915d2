import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { AddressPool } from '../../src/core/address-pool.js';
import { LocalAddressPool } from '../../src/plugins/local/address-pool.js';
import { POOL_CAPABILITIES } from '../../src/plugins/local/capabilities.js';
import { LocalStateStore } from '../../src/plugins/local/state-store.js';
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

  const paths = new WeakMap<AddressPool, string>();
  const states: LocalStateStore[] = [];
  const openOnDisk = (path: string) => {
    const state = new LocalStateStore(path);
    states.push(state);
    const pool = new LocalAddressPool(state);
    paths.set(pool, path);
    return pool;
  };
  const folders: string[] = [];
  addressPoolContract({
    runner,
    label: 'local, on the local store',
    capabilities: POOL_CAPABILITIES,
    create: () => {
      folders.push(mkdtempSync(join(tmpdir(), 'hyperplug-pool-')));
      return openOnDisk(join(folders.at(-1) as string, 'state.mdb'));
    },
    attach: (pool) => openOnDisk(paths.get(pool) as string),
    dispose: async (pool) => {
      for (const state of states.splice(0)) await state.stop();
      rmSync(dirname(paths.get(pool) as string), { recursive: true });
    },
    leftovers: () => folders.filter((folder) => existsSync(folder)),
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
