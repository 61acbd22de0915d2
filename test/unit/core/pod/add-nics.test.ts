import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { hasCode } from '../../../../src/core/errors.js';
import type { HeldPod } from '../../../../src/core/pod/held-pod.js';
import { eventually } from '../../../support/eventually.js';
import { type Behaviour, doesSilently, FaultyAgent, refuses, silent } from '../../../support/faulty-agent.js';
import { PodFixture } from '../../../support/pod-fixture.js';

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.fail('it did not reject'),
    (error: unknown) => error,
  );

describe('NICs added to a running pod', function () {
  this.timeout(60_000);
  let fixture: PodFixture;
  let agent: FaultyAgent;
  let pod: HeldPod;

  beforeEach(async () => {
    agent = new FaultyAgent();
    fixture = new PodFixture({ agent });
    pod = await fixture.pod();
    agent.calls.splice(0);
  });
  afterEach(async () => {
    agent.always = undefined;
    await pod.remove().catch(() => {});
    expect(fixture.leftovers()).to.deep.equal([]);
    fixture.dispose();
  });

  const guestLink = (mac: string) => fixture.guest.network.read().links.find((link) => link.mac === mac);
  const defaults = () =>
    fixture.guest.network
      .read()
      .routes.filter(({ destination }) => destination === 'default')
      .map(({ gateway }) => gateway);

  it('have an address of their network, a tap that the VM holds, and what was asked, as the guest tells', async () => {
    const nic = await pod.nics.add({ network: 'back', ifname: 'back0', mtu: 1300, mac: '52-54-00-00-00-AA' });
    expect(nic).to.deep.include({ id: 'eth-1', kind: 'network', mac: '52:54:00:00:00:aa', name: 'back0', mtu: 1300 });
    expect(nic.addresses).to.deep.equal([{ address: '10.91.0.2', prefixLength: 24 }]);
    expect(nic.guest).to.deep.include({ name: 'back0', mtu: 1300, up: true, addresses: nic.addresses });
    expect(guestLink('52:54:00:00:00:aa')).to.deep.include({ name: 'back0', mtu: 1300 });
    expect(fixture.traces().taps).to.deep.equal(['p/eth-1 held by p', 'p/eth-default held by p']);
    expect(pod.nics.list().map(({ id }) => id)).to.deep.equal(['eth-default', 'eth-1']);
    const { nics } = await fixture.record();
    expect(nics.map(({ id, state, guestName }) => [id, state, guestName])).to.deep.equal([
      ['eth-default', 'ready', 'eth0'],
      ['eth-1', 'ready', 'back0'],
    ]);
  });

  it("are not given a tap of the user's where the backend takes none", async () => {
    const error = await failure(pod.nics.add({ network: 'back', tap: 'mytap' }));
    expect(hasCode(error, 'NOT_SUPPORTED')).to.equal(true);
    expect((error as Error).message).to.include('tap');
    expect(fixture.traces().taps).to.deep.equal(['p/eth-default held by p']);
  });

  it('leave the default route to the first interface, unless a gateway is given', async () => {
    await pod.nics.add({ network: 'back' });
    expect(defaults()).to.deep.equal(['10.90.0.1', 'fd90::1']);
    const error = await failure(pod.nics.add({ network: 'back', gateway: '10.91.0.9' }));
    expect(hasCode(error, 'POD_SPEC_INVALID')).to.equal(true);
    await pod.nics.remove('eth-default');
    expect(defaults()).to.deep.equal([]);
    await pod.nics.add({ network: 'back', gateway: '10.91.0.9' });
    expect(defaults()).to.deep.equal(['10.91.0.9']);
    expect((await fixture.record()).routes).to.deep.equal([
      { destination: 'default', gateway: '10.91.0.9', nic: 'eth-default' },
    ]);
  });

  it('by calls that know nothing of each other share one default route, and its place is free when the one with it fails', async () => {
    await pod.nics.remove('eth-default');
    await Promise.all([pod.nics.add({ id: 'a', network: 'back' }), pod.nics.add({ id: 'b', network: 'back' })]);
    expect(defaults()).to.deep.equal(['10.91.0.1']);
    const { routes } = await fixture.record();
    expect(routes.map(({ destination, gateway }) => [destination, gateway])).to.deep.equal([['default', '10.91.0.1']]);
    await Promise.all(['a', 'b'].map((id) => pod.nics.remove(id)));
    agent.plan('addRoutes', refuses);
    await failure(pod.nics.add({ id: 'a', network: 'back' }));
    await pod.nics.add({ id: 'b', network: 'back' });
    expect((await fixture.record()).routes).to.deep.equal([{ destination: 'default', gateway: '10.91.0.1', nic: 'b' }]);
  });

  it('come all at once, each with its own MAC, address and name', async () => {
    const wanted = [
      { id: 'a', network: 'back', ip: '10.91.0.50/24', mac: '52:54:00:00:00:01' },
      { id: 'b', network: 'default', ip: '10.90.0.60', mac: '52:54:00:00:00:02' },
      { id: 'c', network: 'back', ip: '10.91.0.70', mac: '52:54:00:00:00:03' },
    ];
    await Promise.all([pod.nics.add(wanted.slice(0, 2)), pod.nics.add(wanted[2]!)]);
    for (const { mac, ip } of wanted) {
      expect(guestLink(mac)?.addresses.map(({ address }) => address)).to.deep.equal([ip.split('/')[0]]);
    }
    await Promise.all(['a', 'b', 'c'].map((id) => pod.nics.remove(id)));
    expect(fixture.traces().taps).to.deep.equal(['p/eth-default held by p']);
    expect(pod.nics.list().map(({ id }) => id)).to.deep.equal(['eth-default']);
  });

  it('are given ids that are free by calls that know nothing of each other', async () => {
    const nics = await Promise.all([1, 2, 3].map(() => pod.nics.add({ network: 'back' })));
    expect(nics.map(({ id }) => id).sort()).to.deep.equal(['eth-1', 'eth-2', 'eth-3']);
  });

  const refused: [string, object, string][] = [
    ['an id that is taken', { id: 'eth-default' }, 'VM_NIC_EXISTS'],
    ['a network that there is not', { network: 'nowhere' }, 'NET_NOT_FOUND'],
    ['an address of another network', { network: 'back', ip: '10.90.0.9' }, 'IPAM_ADDRESS_OUT_OF_RANGE'],
    ['an address that is taken', { ip: '10.90.0.2' }, 'IPAM_ADDRESS_TAKEN'],
    ['text that is no address', { ip: 'any' }, 'POD_SPEC_INVALID'],
    ['a prefix length that is not the network’s', { ip: '10.90.0.9/16' }, 'POD_SPEC_INVALID'],
    ['an MTU beyond the backend’s', { mtu: 65_535 }, 'POD_SPEC_INVALID'],
    ['an MTU beyond the network’s', { mtu: 1501 }, 'POD_SPEC_INVALID'],
    ['a field that there is not', { bridge: 'br0' }, 'POD_SPEC_INVALID'],
    ['a gateway that is none of a route’s', { network: 'back', gateway: '10.99.0.1' }, 'POD_SPEC_INVALID'],
  ];
  for (const [what, spec, code] of refused) {
    it(`are refused ${what}, and leave nothing`, async () => {
      const before = fixture.traces();
      expect(hasCode(await failure(pod.nics.add(spec)), code as never)).to.equal(true);
      expect(fixture.traces()).to.deep.equal(before);
      expect((await fixture.record()).nics).to.have.length(1);
    });
  }

  it('find no slot when all are taken, and one again after a removal', async () => {
    await pod.nics.add([{ network: 'back' }, { network: 'back' }, { network: 'back' }]);
    const before = fixture.traces();
    expect(hasCode(await failure(pod.nics.add({ network: 'back' })), 'VM_NO_SLOT')).to.equal(true);
    expect(fixture.traces()).to.deep.equal(before);
    await pod.nics.remove('eth-2');
    await pod.nics.add({ network: 'back' });
  });

  it('find a network of one address empty, and full again after a release', async () => {
    await pod.nics.add({ id: 'one', network: 'tiny' });
    expect(hasCode(await failure(pod.nics.add({ network: 'tiny' })), 'IPAM_EXHAUSTED')).to.equal(true);
    await pod.nics.remove('one');
    expect((await pod.nics.add({ network: 'tiny' })).addresses[0]?.address).to.equal('10.92.0.2');
  });

  it('are one more loopback address, and no device', async () => {
    const nic = await pod.nics.add({ ifname: 'lo', ip: ['10.200.0.1', 'fd00::1/128'] });
    expect(nic).to.deep.include({ id: 'lo', kind: 'loopback', lease: null });
    const lo = () => fixture.guest.network.read().links.find(({ name }) => name === 'lo');
    expect(lo()?.addresses.map(({ address }) => address)).to.deep.equal(['127.0.0.1', '10.200.0.1', 'fd00::1']);
    expect(hasCode(await failure(pod.nics.add({ ifname: 'lo', id: 'again' })), 'VM_NIC_EXISTS')).to.equal(true);
    await pod.nics.update('lo', { addAddresses: ['10.200.0.2'], removeAddresses: ['10.200.0.1'] });
    expect(lo()?.addresses.map(({ address }) => address)).to.deep.equal(['127.0.0.1', 'fd00::1', '10.200.0.2']);
    await pod.nics.remove('lo');
    expect(lo()?.addresses.map(({ address }) => address)).to.deep.equal(['127.0.0.1']);
  });

  describe('that fail on the way', () => {
    const spec = { id: 'x', network: 'back', mac: '52:54:00:00:00:99', gateway: undefined };
    const steps: Record<string, () => void> = {
      'no address is given': () => fixture.network.faults.plan('allocate'),
      'the backend refuses': () => fixture.network.faults.plan('attach'),
      'the hypervisor refuses': () => fixture.hypervisor.faults.plan('attach'),
      'the agent refuses': () => agent.plan('setupInterface', refuses),
      'the agent is silent': () => agent.plan('setupInterface', silent),
      'the agent does it and is silent': () => agent.plan('setupInterface', doesSilently),
    };
    for (const [what, plan] of Object.entries(steps)) {
      it(`${what}: nothing is left, and a retry works`, async () => {
        const before = { ...fixture.traces(), links: fixture.guest.network.read(), nics: pod.nics };
        plan();
        await failure(pod.nics.add(spec, { timeoutMs: 400 }));
        const after = { ...fixture.traces(), links: fixture.guest.network.read(), nics: pod.nics };
        expect(after).to.deep.equal(before);
        expect((await fixture.record()).nics).to.have.length(1);
        const nic = await pod.nics.add(spec);
        expect(guestLink(nic.mac)?.up).to.equal(true);
        await pod.nics.remove('x');
      });
    }

    it('the agent says yes, and its answer shows that it did nothing: it is found out, and nothing is left', async () => {
      const lies: Behaviour = async (_ask, args) => {
        const { mac } = args as { mac: string };
        const result = { name: 'eth1', index: 3, mac, mtu: 1400, up: true, addresses: [] };
        return { result, body: Buffer.alloc(0) };
      };
      agent.plan('setupInterface', lies);
      const error = await failure(pod.nics.add(spec));
      expect(hasCode(error, 'AGENT_REFUSED')).to.equal(true);
      expect((error as Error).message).to.match(/10\.91\.0\.2\/24 is missing/);
      expect(fixture.traces().taps).to.deep.equal(['p/eth-default held by p']);
      await pod.nics.add(spec);
    });

    it('the agent is silent when asked for the routes that it has set: nothing is left, and a retry works', async () => {
      await pod.nics.remove('eth-default');
      agent.plan('readNetwork', silent);
      await failure(pod.nics.add(spec, { timeoutMs: 400 }));
      expect(fixture.traces()).to.deep.equal({ taps: [], addresses: [] });
      expect(await fixture.record()).to.deep.include({ nics: [], routes: [] });
      await pod.nics.add(spec);
      expect(defaults()).to.deep.equal(['10.91.0.1']);
    });

    it('the default route is refused: the NIC goes, and so does its record', async () => {
      await pod.nics.remove('eth-default');
      agent.plan('addRoutes', refuses);
      expect(hasCode(await failure(pod.nics.add(spec)), 'AGENT_REFUSED')).to.equal(true);
      expect(await fixture.record()).to.deep.include({ nics: [], routes: [] });
      expect(fixture.traces()).to.deep.equal({ taps: [], addresses: [] });
      await pod.nics.add(spec);
      expect(defaults()).to.deep.equal(['10.91.0.1']);
    });

    it('one of several: none is left', async () => {
      const before = fixture.traces();
      fixture.hypervisor.faults.plan('attach');
      await failure(pod.nics.add([{ network: 'back' }, { network: 'back' }, { network: 'default' }]));
      expect(fixture.traces()).to.deep.equal(before);
      expect((await fixture.record()).nics).to.have.length(1);
      await pod.nics.add([{ network: 'back' }, { network: 'back' }, { network: 'default' }]);
    });

    it('the VM dies: every address and device is given back at once, with the reason', async () => {
      agent.plan('setupInterface', async (ask, args, options) => {
        fixture.guest.panic();
        return silent(ask, args, options);
      });
      const error = await failure(pod.nics.add(spec));
      expect(hasCode(error, 'VM_EXITED', 'AGENT_CLOSED')).to.equal(true);
      expect(fixture.traces().addresses.filter((text) => text.endsWith('/x'))).to.deep.equal([]);
      // With it the pod has ended, and holds nothing.
      await eventually(async () => {
        expect(await fixture.record()).to.deep.include({ state: 'failed', nics: [], vm: null });
      }, 20_000);
      expect(fixture.traces()).to.deep.equal({ taps: [], addresses: [] });
    });

    it('the caller aborts, at whatever moment: nothing is left, and a retry works', async () => {
      const before = fixture.traces();
      let rejected = 0;
      for (let turns = 0; turns < 40; turns++) {
        const abort = new AbortController();
        const adding = pod.nics.add(spec, { signal: abort.signal }).then(
          () => 'done',
          (error: unknown) => error,
        );
        for (let at = 0; at < turns; at++) await turn();
        abort.abort();
        const outcome = await adding;
        if (outcome === 'done') {
          await pod.nics.remove('x');
        } else {
          rejected += 1;
          expect(hasCode(outcome, 'ABORTED'), String(outcome)).to.equal(true);
        }
        expect(fixture.traces(), `after ${turns} turns`).to.deep.equal(before);
        expect((await fixture.record()).nics).to.have.length(1);
      }
      expect(rejected).to.be.greaterThan(2);
      await pod.nics.add(spec);
    });

    for (const step of ['setupInterface', 'addRoutes', 'readNetwork'] as const) {
      it(`the caller aborts while ${step} is on its way: nothing is left, and a retry works`, async () => {
        await pod.nics.remove('eth-default');
        const abort = new AbortController();
        agent.plan(step, async (ask, args, options) => {
          abort.abort();
          return doesSilently(ask, args, options);
        });
        expect(hasCode(await failure(pod.nics.add(spec, { signal: abort.signal })), 'ABORTED')).to.equal(true);
        expect(fixture.traces()).to.deep.equal({ taps: [], addresses: [] });
        expect(await fixture.record()).to.deep.include({ nics: [], routes: [] });
        await pod.nics.add(spec);
        expect(defaults()).to.deep.equal(['10.91.0.1']);
      });
    }

    it('the guest keeps the device: slot, address and record stay, and a removal later goes on', async () => {
      fixture.hypervisor.faults.plan('detach');
      // When the NIC is there.
      agent.plan('setupInterface', async (ask, ...rest) => {
        await ask();
        return refuses(ask, ...rest);
      });
      const error = await failure(pod.nics.add(spec));
      expect(hasCode(error, 'POD_CLEANUP_FAILED')).to.equal(true);
      expect(fixture.traces().addresses).to.include('10.91.0.2 of p/x');
      expect((await fixture.record()).nics.map(({ id, state }) => [id, state])).to.deep.include(['x', 'removing']);
      expect(pod.nics.list().map(({ id }) => id)).to.deep.equal(['eth-default', 'x']);
      await pod.nics.remove('x');
      expect(fixture.traces().taps).to.deep.equal(['p/eth-default held by p']);
    });
  });
});

it('NICs added at once by an agent that knows no MACs are each expected by the name that the kernel gives', async () => {
  const agent = new FaultyAgent({ nicByMac: false, readNetwork: false });
  const fixture = new PodFixture({ agent });
  try {
    const pod = await fixture.pod();
    const named: { expected: string; given: string | undefined }[] = [];
    agent.always = async (ask, args) => {
      const { mac, expectedName } = args as { mac: string; expectedName?: string };
      const given = fixture.guest.network.read().links.find((link) => link.mac === mac)?.name;
      if (expectedName !== undefined && given !== 'eth0') named.push({ expected: expectedName, given });
      return ask();
    };
    const two = [{ network: 'back' }, { network: 'back', ifname: 'wan0' }];
    await Promise.all([pod.nics.add(two), pod.nics.add({ network: 'back' })]);
    expect(named.map(({ expected }) => expected)).to.deep.equal(named.map(({ given }) => given));
    expect(named).to.have.length(3);
    expect(fixture.guest.network.read().links.map(({ name }) => name)).to.include.members(['eth0', 'eth1', 'wan0']);
    await pod.remove();
    expect(fixture.leftovers()).to.deep.equal([]);
  } finally {
    fixture.dispose();
  }
});
