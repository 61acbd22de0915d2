import { expect } from 'chai';
import type { HeldPod } from '../../../../src/core/pod/held-pod.js';
import { NETWORKS, PodFixture } from '../../../support/pod-fixture.js';

/** A hypervisor that takes NICs only while the VM runs. */
describe('a pod on a hypervisor without NICs at boot', () => {
  let fixture: PodFixture;
  beforeEach(() => {
    fixture = new PodFixture({ hypervisor: { coldplugNic: false, maxNics: 3 } });
  });
  afterEach(() => fixture.dispose());

  it('has its NICs as soon as it is created, and room for those that come later', async () => {
    const pod = await fixture.pod({ interfaces: [{}, { network: 'back' }] });
    const { nics, routes, state } = await fixture.record();
    expect(state).to.equal('running');
    expect(nics.map(({ id, state: each, host }) => [id, each, host?.data !== null])).to.deep.equal([
      ['eth-default', 'ready', true],
      ['eth-1', 'ready', true],
    ]);
    expect(routes).to.not.deep.equal([]);
    expect(fixture.traces().taps).to.have.length(2);
    await pod.nics.add({ network: 'back' });
    expect(fixture.traces().taps).to.have.length(3);
    await pod.remove();
    expect(fixture.leftovers()).to.deep.equal([]);
  });

  /** VMs that had been launched when the record was written. */
  const launchedBefore = async (input: object, refuse = false) => {
    const { store } = fixture;
    const create = store.create.bind(store);
    let launched: number | undefined;
    store.create = async (record, call) => {
      launched = fixture.guests.length;
      if (refuse) throw new Error('the disk is full');
      await create(record, call);
    };
    await fixture.network.init(NETWORKS, { signal: AbortSignal.timeout(10_000) });
    const pod = await fixture.manager.create(input, {}).catch((error: Error) => error);
    return { launched, pod };
  };

  it('without a name and not kept it boots while its record is written; every other has its record before', async () => {
    const { launched, pod } = await launchedBefore({});
    expect(launched).to.equal(1);
    expect((await fixture.record((pod as HeldPod).id)).state).to.equal('running');
    expect((await launchedBefore({ id: 'named' })).launched).to.equal(1);
    expect((await launchedBefore({ keep: true })).launched).to.equal(2);
    expect(fixture.guests).to.have.length(3);
  });

  it('leaves nothing when its record cannot be written, though its VM runs by then', async () => {
    const { launched, pod } = await launchedBefore({}, true);
    expect(launched).to.equal(1);
    expect(pod).to.be.an('error').with.property('message', 'the disk is full');
    expect(fixture.leftovers()).to.deep.equal([]);
    expect(await fixture.hypervisor.traces({ signal: AbortSignal.timeout(10_000) })).to.deep.equal([]);
  });

  it('leaves nothing when a NIC cannot be attached', async () => {
    const error = await fixture
      .pod({
        interfaces: [{}, { network: 'back', mac: '52:54:00:00:00:01' }, { network: 'back', mac: '52:54:00:00:00:01' }],
      })
      .catch((reason: unknown) => reason);
    expect(error).to.be.an('error');
    expect(fixture.leftovers()).to.deep.equal([]);
  });
});
