import { expect } from 'chai';
import { FakeWorld, told } from '../../../support/fake-world.js';
import { rejects } from '../../../support/rejects.js';

describe('a pod whose VM runs in a session that has ended', () => {
  let world: FakeWorld;
  beforeEach(async () => {
    world = new FakeWorld();
    await using engine = await world.engine({ session: 'before' });
    await (await engine.createPod({ id: 'p', keep: true })).release();
  });
  afterEach(() => world.dispose());

  it('has failed: that is told, gc ends its VM and frees what it held, and it starts anew', async () => {
    await using engine = await world.engine({ session: 'after' });
    const error = await rejects(engine.openPod('p'), 'POD_NOT_RUNNING');
    expect(error.message).to.contain('failed: the namespaces of the rootless network that it ran in have ended');
    expect(told(await engine.gc())).to.deep.equal(['finished pod p']);
    expect(world.leftovers().filter((left) => /^tap|^process/.test(left))).to.deep.equal([]);
    expect((await engine.pods.start('p')).state).to.equal('running');
    expect(told(await engine.gc())).to.deep.equal(['kept pod p']);
    await engine.removePod('p', { force: true });
    expect(world.leftovers()).to.deep.equal([]);
  });

  it('is told as one whose VM died where that is so', async () => {
    const [vm] = [...world.machine.processes.values()].filter(({ argv }) => argv[0] !== 'manager');
    world.killVm(vm?.identity.pid ?? 0);
    await using engine = await world.engine({ session: 'after' });
    expect((await engine.pods.inspect('p')).failure).to.equal('its VM was found gone');
    await engine.removePod('p');
  });

  it('uses no network but those of its own session', async () => {
    for (const [wish, pods] of [
      [{ session: 'before' }, ['p']],
      [{ session: 'after' }, []],
      [{}, []],
    ] as const) {
      await using engine = await world.engine(wish);
      const [network] = await engine.networks.status(['default']);
      expect(network?.pods, JSON.stringify(wish)).to.deep.equal(pods);
    }
  });

  it('lives for who is in its own session, and for who is in none and cannot tell', async () => {
    for (const wish of [{ session: 'before' }, {}]) {
      await using engine = await world.engine(wish);
      expect(told(await engine.gc())).to.deep.equal(['kept pod p']);
    }
  });
});
