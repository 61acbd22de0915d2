import { expect } from 'chai';
import { PodFixture } from '../../../support/pod-fixture.js';

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
