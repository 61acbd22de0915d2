import { expect } from 'chai';
import { FakeWorld, told } from '../../../support/fake-world.js';

describe('what another hypervisor than the configured one made', () => {
  let world: FakeWorld;
  beforeEach(() => {
    world = new FakeWorld();
  });
  afterEach(() => world.dispose());

  async function kept(): Promise<void> {
    await using engine = await world.engine();
    const pod = await engine.createPod({ id: 'p', keep: true });
    await pod.release();
  }

  it('is brought to its end by that one: gc frees a dead pod, rm removes it', async () => {
    await kept();
    const [vm] = [...world.machine.processes.values()].filter(({ argv }) => argv[0] !== 'manager');
    world.killVm(vm?.identity.pid ?? 0);
    await using engine = await world.engine({ driver: 'second' });
    expect(told(await engine.gc({ dryRun: true }))).to.deep.equal(['finished pod p']);
    expect(told(await engine.gc())).to.deep.equal(['finished pod p']);
    const { state, failure } = await engine.pods.inspect('p');
    expect({ state, failure }).to.deep.equal({ state: 'failed', failure: 'its VM was found gone' });
    expect(world.leftovers().filter((left) => /^tap|^process/.test(left))).to.deep.equal([]);
    await engine.removePod('p');
    expect(world.leftovers()).to.deep.equal([]);
  });

  it('is kept while it runs, and ended when that is asked for', async () => {
    await kept();
    await using engine = await world.engine({ driver: 'second' });
    expect(told(await engine.gc())).to.deep.equal(['kept pod p']);
    await engine.removePod('p', { force: true });
    expect(world.leftovers()).to.deep.equal([]);
  });
});
