import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { StateKey, StateStore } from '../../src/core/state-store.js';
import { STATE_CAPABILITIES } from '../../src/plugins/local/capabilities.js';
import { encodeKey } from '../../src/plugins/local/state-codec.js';
import { LocalStateStore } from '../../src/plugins/local/state-store.js';
import { stateStoreContract } from '../../src/testing/contracts/state-store.js';
import { FakeStateMedium, FakeStateStore } from '../../src/testing/fakes/state-store.js';

const runner = { describe, it, before, after, beforeEach, afterEach };

describe('implementations of StateStore', function () {
  this.timeout(60_000);
  const paths = new WeakMap<StateStore, string>();
  const folders: string[] = [];

  const open = (path: string, serves: boolean) => {
    const store = new LocalStateStore(path);
    if (serves) store.serve();
    paths.set(store, path);
    return store;
  };

  for (const [label, serves] of [
    ['local', false],
    ['local that serves', true],
  ] as const) {
    stateStoreContract({
      runner,
      label,
      capabilities: STATE_CAPABILITIES,
      create: () => {
        folders.push(mkdtempSync(join(tmpdir(), 'hyperplug-state-')));
        return open(join(folders.at(-1) as string, 'state', 'state.mdb'), serves);
      },
      attach: (store) => open(paths.get(store) as string, serves),
      damage: (store, key: StateKey, how) => {
        const { open: openLmdb } = createRequire(import.meta.url)('lmdb');
        const raw = openLmdb({
          path: paths.get(store),
          noSubdir: true,
          encoding: 'binary',
          keyEncoding: 'binary',
          overlappingSync: false,
        });
        raw.putSync(encodeKey(key), Buffer.from(how === 'garbage' ? '\xff{' : '{"v":99,"value":1}', 'latin1'));
        return raw.close();
      },
      dispose: (store) => rmSync(dirname(paths.get(store) as string), { recursive: true, force: true }),
      leftovers: () => folders.flatMap((folder) => readdirSync(folder)),
    });
  }

  after(() => {
    for (const folder of folders) rmSync(folder, { recursive: true });
  });

  const shared = { durable: true, multiProcess: true };
  stateStoreContract({
    runner,
    label: 'fake',
    capabilities: shared,
    create: () => new FakeStateStore({ capabilities: shared }),
    attach: (store) => new FakeStateStore({ capabilities: shared, medium: (store as FakeStateStore).medium }),
    damage: (store, key, how) => (store as FakeStateStore).medium.damage(key, how),
    failNextCommit: (store) => {
      (store as FakeStateStore).medium.failNextCommit = true;
    },
  });

  stateStoreContract({
    runner,
    label: 'fake, alone',
    capabilities: { durable: false, multiProcess: false },
    create: () => new FakeStateStore({ medium: new FakeStateMedium() }),
  });
});
