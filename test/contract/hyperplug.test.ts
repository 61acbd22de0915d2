import type { Hyperplug } from '../../src/core/pod/types.js';
import type { HyperplugContract } from '../../src/testing/contracts/hyperplug/types.js';
import { hyperplugContract } from '../../src/testing/contracts/hyperplug.js';
import { startDaemon } from '../support/daemon.js';
import { FakeWorld } from '../support/fake-world.js';
import { FAKE_ARGV } from './fake-agent.js';

const runner = { describe, it, before, after, beforeEach, afterEach };

const common: Omit<HyperplugContract, 'create' | 'label'> = {
  runner,
  programs: FAKE_ARGV,
  networks: ['default', 'back'],
};

async function killVm(world: FakeWorld, hyperplug: Hyperplug, id: string): Promise<void> {
  const pod = (await hyperplug.listPods()).find((each) => each.id === id);
  world.killVm(pod?.pid ?? 0);
}

describe('Hyperplug, in this process and through the daemon', function () {
  this.timeout(60_000);

  hyperplugContract({
    ...common,
    label: 'engine on fakes',
    async create() {
      const world = new FakeWorld();
      const hyperplug = await world.engine();
      return {
        hyperplug,
        another: () => world.engine(),
        killVm: (id) => killVm(world, hyperplug, id),
        leftovers: () => world.leftovers(),
        dispose: () => world.dispose(),
      };
    },
  });

  hyperplugContract({
    ...common,
    label: "daemon's client, on fakes",
    async create() {
      const world = new FakeWorld();
      const { daemon, connect } = await startDaemon(world.root, await world.engine());
      const hyperplug = await connect();
      return {
        hyperplug,
        another: connect,
        killVm: (id) => killVm(world, hyperplug, id),
        leftovers: () => world.leftovers(),
        async dispose() {
          await daemon.stop();
          world.dispose();
        },
      };
    },
  });
});
