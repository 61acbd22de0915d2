import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect } from 'chai';
import { HyperplugError, hasCode } from '../../../../src/core/errors.js';
import type { HeldPod } from '../../../../src/core/pod/held-pod.js';
import { FaultyAgent, refuses, silent } from '../../../support/faulty-agent.js';
import { freePort } from '../../../support/free-port.js';
import { PodFixture } from '../../../support/pod-fixture.js';

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.fail('it did not reject'),
    (error: unknown) => error,
  );

describe('the network of a running pod', function () {
  this.timeout(60_000);
  let fixture: PodFixture;
  let agent: FaultyAgent;
  let pod: HeldPod;

  beforeEach(async () => {
    agent = new FaultyAgent();
    fixture = new PodFixture({ agent });
    pod = await fixture.pod({ keep: true });
  });
  afterEach(async () => {
    agent.always = undefined;
    await pod.remove().catch(() => {});
    expect(fixture.leftovers()).to.deep.equal([]);
    fixture.dispose();
  });

  const guestAddresses = (name = 'eth0') =>
    fixture.guest.network
      .read()
      .links.find((link) => link.name === name)
      ?.addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`);
  const recorded = async (id = 'eth-default') => (await fixture.record()).nics.find((nic) => nic.id === id);
  /** The pod as another process finds it. */
  async function reopened(): Promise<HeldPod> {
    await pod.release();
    fixture.restart();
    pod = await fixture.manager.open('p', {});
    return pod;
  }

  describe('removing a NIC', () => {
    it('goes from the guest outwards, and the record last', async () => {
      await pod.nics.add({ id: 'x', network: 'back' });
      await pod.nics.remove('x');
      expect(fixture.traces().addresses).to.deep.equal(['10.90.0.2 of p/eth-default', 'fd90::2 of p/eth-default']);
      expect(fixture.guest.network.read().links.map(({ name }) => name)).to.deep.equal(['lo', 'eth0']);
      expect(await recorded('x')).to.equal(undefined);
      expect(hasCode(await failure(pod.nics.remove('x')), 'VM_NIC_NOT_FOUND')).to.equal(true);
    });

    const steps: Record<string, () => void> = {
      'the agent refuses': () => agent.plan('deleteInterface', refuses),
      'the agent is silent': () => agent.plan('deleteInterface', silent),
      'the hypervisor fails': () => fixture.hypervisor.faults.plan('detach'),
      'the backend fails': () => fixture.network.faults.plan('detach'),
      'the address is not taken back': () => fixture.network.faults.plan('release'),
    };
    for (const [what, plan] of Object.entries(steps)) {
      it(`keeps address and record when ${what}, and goes on when called again`, async () => {
        await pod.nics.add({ id: 'x', network: 'back' });
        plan();
        await failure(pod.nics.remove('x', { timeoutMs: 300 }));
        expect(fixture.traces().addresses).to.include('10.91.0.2 of p/x');
        expect((await recorded('x'))?.state).to.equal('removing');
        expect(pod.nics.list().map(({ id }) => id)).to.deep.equal(['eth-default', 'x']);
        await pod.nics.remove('x');
        expect(fixture.traces().addresses).to.not.include('10.91.0.2 of p/x');
        expect(await recorded('x')).to.equal(undefined);
      });
    }

    it('keeps the record alone when the guest does not say that it is gone, and goes on when called again', async () => {
      await pod.nics.add({ id: 'x', network: 'back' });
      agent.plan('readNetwork', silent);
      expect(hasCode(await failure(pod.nics.remove('x', { timeoutMs: 300 })), 'TIMEOUT')).to.equal(true);
      expect(fixture.traces()).to.deep.include({ taps: ['p/eth-default held by p'] });
      expect(fixture.traces().addresses).to.not.include('10.91.0.2 of p/x');
      expect((await recorded('x'))?.state).to.equal('removing');
      await pod.nics.add({ id: 'y', network: 'back', ip: '10.91.0.2' });
      await pod.nics.remove('x');
      expect(await recorded('x')).to.equal(undefined);
      expect(fixture.traces().addresses).to.include('10.91.0.2 of p/y');
    });

    it('leaves slot and tap with the VM when the guest keeps the device', async () => {
      await pod.nics.add({ id: 'x', network: 'back' });
      fixture.guest.onNicWanted = 'ignore';
      expect(hasCode(await failure(pod.nics.remove('x', { timeoutMs: 300 })), 'TIMEOUT')).to.equal(true);
      expect(fixture.traces().taps).to.include('p/x held by p');
      fixture.guest.releaseNics();
      await pod.nics.remove('x');
      expect(fixture.traces().taps).to.deep.equal(['p/eth-default held by p']);
    });

    it('is done by another process than the one that added it', async () => {
      await pod.nics.add({ id: 'x', network: 'back' });
      await (await reopened()).nics.remove('x');
      expect(fixture.traces().taps).to.deep.equal(['p/eth-default held by p']);
      expect(pod.nics.list().map(({ id }) => id)).to.deep.equal(['eth-default']);
    });

    it('is done where its network cannot be made any more; what needs that network is refused, and nothing else', async () => {
      await pod.nics.add({ id: 'x', network: 'back' });
      await reopened();
      const init = fixture.network.init.bind(fixture.network);
      fixture.network.init = async (specs, options) => {
        if (options.only?.includes('back')) throw new HyperplugError('NET_INIT_FAILED', 'its parent is gone');
        await init(specs, options);
      };
      expect(hasCode(await failure(pod.nics.update('x', { mtu: 1300 })), 'NET_INIT_FAILED')).to.equal(true);
      const ports = { interface: 'x', hostPort: await freePort(), containerPort: 80 };
      expect(hasCode(await failure(pod.ports.add(ports)), 'NET_INIT_FAILED')).to.equal(true);
      await pod.nics.update('eth-default', { mtu: 1300 });
      await pod.nics.remove('x');
      expect(fixture.traces().taps).to.deep.equal(['p/eth-default held by p']);
    });

    for (const state of ['adding', 'removing'] as const) {
      it(`is finished for a manager that died with a NIC ${state}`, async () => {
        await pod.nics.add({ id: 'x', network: 'back' });
        const nics = (await fixture.record()).nics.map((nic) => (nic.id === 'x' ? { ...nic, state } : nic));
        const call = { signal: AbortSignal.timeout(5_000) };
        await fixture.store.update('p', (record) => ({ ...record, nics }), call);
        await (await reopened()).nics.add({ id: 'y', network: 'back' });
        expect(pod.nics.list().map(({ id }) => id)).to.deep.equal(['eth-default', 'y']);
        expect(fixture.traces().taps).to.deep.equal(['p/eth-default held by p', 'p/y held by p']);
      });
    }
  });

  describe('changing a NIC', () => {
    it('adds addresses of its network, which nobody else gets, and others with their prefix length', async () => {
      const nic = await pod.nics.update('eth-default', { addAddresses: ['10.90.0.9', '172.16.5.1/24'] });
      expect(nic.addresses.map(({ address }) => address)).to.deep.equal([
        '10.90.0.2',
        'fd90::2',
        '10.90.0.9',
        '172.16.5.1',
      ]);
      expect(guestAddresses()).to.deep.equal(['10.90.0.2/24', 'fd90::2/64', '10.90.0.9/24', '172.16.5.1/24']);
      expect(fixture.traces().addresses).to.include('10.90.0.9 of p/eth-default');
      expect(hasCode(await failure(pod.nics.add({ ip: '10.90.0.9' })), 'IPAM_ADDRESS_TAKEN')).to.equal(true);
      await pod.nics.update('eth-default', { addAddresses: ['10.90.0.9'] });
      await pod.nics.update('eth-default', { removeAddresses: ['10.90.0.9/24', '172.16.5.1', '10.90.0.77'] });
      expect(guestAddresses()).to.deep.equal(['10.90.0.2/24', 'fd90::2/64']);
      expect(fixture.traces().addresses).to.not.include('10.90.0.9 of p/eth-default');
    });

    it('renames and sets the MTU, as the guest tells', async () => {
      const nic = await pod.nics.update('eth-default', { name: 'wan', mtu: 1400 });
      expect(nic).to.deep.include({ name: 'wan', mtu: 1400 });
      expect(nic.guest).to.deep.include({ name: 'wan', mtu: 1400 });
      expect(await recorded()).to.deep.include({ name: 'wan', guestName: 'wan', mtu: 1400, state: 'ready' });
    });

    it('is refused what cannot be', async () => {
      const wrong: [object, string][] = [
        [{ addAddresses: ['10.90.0.300'] }, 'POD_SPEC_INVALID'],
        [{ addAddresses: ['10.77.0.1'] }, 'IPAM_ADDRESS_OUT_OF_RANGE'],
        [{ addAddresses: ['10.90.0.8/25'] }, 'POD_SPEC_INVALID'],
        [{ addAddresses: ['10.90.0.8'], removeAddresses: ['10.90.0.8'] }, 'POD_SPEC_INVALID'],
        [{ mtu: 70_000 }, 'POD_SPEC_INVALID'],
        [{ mtu: 1501 }, 'POD_SPEC_INVALID'],
        [{ mac: '52:54:00:00:00:01' }, 'POD_SPEC_INVALID'],
        // The kernel would take the address away again.
        [{ mtu: 1279, addAddresses: ['fd77::5/64'] }, 'POD_SPEC_INVALID'],
      ];
      const before = [fixture.traces(), fixture.guest.network.read(), await fixture.record()];
      for (const [change, code] of wrong) {
        expect(hasCode(await failure(pod.nics.update('eth-default', change)), code as never), code).to.equal(true);
      }
      expect([fixture.traces(), fixture.guest.network.read(), await fixture.record()]).to.deep.equal(before);
      expect(hasCode(await failure(pod.nics.update('nobody', {})), 'VM_NIC_NOT_FOUND')).to.equal(true);
    });

    const change = {
      addAddresses: ['10.90.0.9', '172.16.5.1/24'],
      removeAddresses: ['fd90::2'],
      name: 'wan',
      mtu: 1400,
    };
    const steps: Record<string, () => void> = {
      'the agent refuses': () => agent.plan('setupInterface', refuses),
      'the agent is silent': () => agent.plan('setupInterface', silent),
      'the address is not given': () => fixture.network.faults.plan('allocate'),
      'the address is not taken back': () => fixture.network.faults.plan('release'),
    };
    for (const [what, plan] of Object.entries(steps)) {
      it(`puts all back when ${what}, and a retry works`, async () => {
        const before = [fixture.traces(), fixture.guest.network.read().links.length, await fixture.record()];
        const addresses = guestAddresses()?.sort();
        plan();
        await failure(pod.nics.update('eth-default', change, { timeoutMs: 300 }));
        expect([fixture.traces(), fixture.guest.network.read().links.length, await fixture.record()]).to.deep.equal(
          before,
        );
        expect(guestAddresses()?.sort()).to.deep.equal(addresses);
        await pod.nics.update('eth-default', change);
        expect(guestAddresses('wan')?.sort()).to.deep.equal(['10.90.0.2/24', '10.90.0.9/24', '172.16.5.1/24']);
      });
    }

    it('is brought to an end for a manager that died at it', async () => {
      const call = { signal: AbortSignal.timeout(5_000) };
      const nic = await recorded();
      const otherAddresses = [{ address: '172.16.5.1', prefixLength: 24 }];
      await fixture.store.update(
        'p',
        (record) => ({ ...record, nics: [{ ...nic!, otherAddresses, state: 'changing' }] }),
        call,
      );
      await reopened();
      await pod.ports.add([]).catch(() => {});
      expect(guestAddresses()).to.include('172.16.5.1/24');
      expect((await recorded())?.state).to.equal('ready');
    });
  });

  describe('routes', () => {
    const guestRoutes = () =>
      fixture.guest.network.read().routes.map(({ destination, gateway }) => `${destination} via ${gateway}`);

    it('are added, read back with whose they are, and removed', async () => {
      await pod.routes.add([
        { destination: '10.50.0.0/16', gateway: '10.90.0.7', metric: 50 },
        { destination: '10.51.0.1', nic: 'eth-default' },
      ]);
      const routes = await pod.routes.list();
      expect(routes).to.deep.include({
        destination: '10.50.0.0/16',
        gateway: '10.90.0.7',
        metric: 50,
        nic: 'eth-default',
        device: 'eth0',
        origin: 'pod',
      });
      expect(routes.find(({ destination }) => destination === '10.51.0.1/32')?.origin).to.equal('pod');
      expect((await fixture.record()).routes).to.have.length(4);
      await pod.routes.remove(
        [{ destination: '10.50.0.0/16', gateway: '10.90.0.7' }].map((route) => ({ ...route, metric: 50 })),
      );
      expect((await pod.routes.list()).map(({ destination }) => destination)).to.not.include('10.50.0.0/16');
      await pod.routes.remove([{ destination: '10.50.0.0/16', gateway: '10.90.0.7', metric: 50 }]);
      expect((await fixture.record()).routes).to.have.length(3);
    });

    it('all or none: those before the refused one are taken back', async () => {
      const before = [guestRoutes(), (await fixture.record()).routes];
      const error = await failure(
        pod.routes.add([
          { destination: '10.50.0.0/16', gateway: '10.90.0.7' },
          { destination: '10.51.0.0/16', gateway: '10.99.0.7' },
        ]),
      );
      expect(hasCode(error, 'AGENT_REFUSED')).to.equal(true);
      expect([guestRoutes(), (await fixture.record()).routes]).to.deep.equal(before);
    });

    it('one that is there already is refused by the guest, and stays', async () => {
      await pod.routes.add([{ destination: '10.50.0.0/16', gateway: '10.90.0.7' }]);
      const before = [guestRoutes(), (await fixture.record()).routes];
      await failure(pod.routes.add([{ destination: '10.50.0.0/16', gateway: '10.90.0.7' }]));
      expect([guestRoutes(), (await fixture.record()).routes]).to.deep.equal(before);
    });

    it('are refused what is no route, by field', async () => {
      const wrong: [object, RegExp][] = [
        [{ destination: '10.50.0.1/16', gateway: '10.90.0.7' }, /routes\[0\]\.destination: .*10\.50\.0\.0\/16/],
        [{ destination: 'everywhere', gateway: '10.90.0.7' }, /routes\[0\]\.destination/],
        [{ destination: '10.50.0.0/16', gateway: 'fd90::7' }, /routes\[0\]\.gateway/],
        [{ destination: '10.50.0.0/16' }, /a gateway, a nic, or both/],
        [{ destination: '10.50.0.0/16', nic: 'nobody' }, /routes\[0\]\.nic: expected one of eth-default/],
        [{ destination: '10.50.0.0/16', via: '10.90.0.7' }, /via/],
      ];
      for (const [route, words] of wrong) {
        const error = await failure(pod.routes.add([route as never]));
        expect(hasCode(error, 'POD_SPEC_INVALID'), String(error)).to.equal(true);
        expect((error as Error).message).to.match(words);
      }
    });

    it('go with their NIC', async () => {
      await pod.nics.add({ id: 'x', network: 'back' });
      await pod.routes.add([{ destination: '10.50.0.0/16', gateway: '10.91.0.7', nic: 'x' }]);
      await pod.nics.remove('x');
      expect((await fixture.record()).routes.filter(({ nic }) => nic === 'x')).to.deep.equal([]);
      expect(guestRoutes()).to.not.include('10.50.0.0/16 via 10.91.0.7');
    });
  });

  describe('ports', () => {
    it('are published and withdrawn, by this process and by the next', async () => {
      const [one, two] = [await freePort(), await freePort()];
      const mapping = { protocol: 'tcp', hostAddress: '127.0.0.1', guestPort: 80, count: 1 };
      await pod.ports.add([{ hostAddress: '127.0.0.1', hostPort: one, containerPort: 80 }]);
      expect(fixture.network.publishedPorts()).to.deep.equal([one]);
      await reopened();
      expect(pod.nics.list()[0]?.ports).to.deep.equal([{ ...mapping, hostPort: one }]);
      await pod.ports.add([{ hostAddress: '127.0.0.1', hostPort: two, containerPort: 80 }]);
      expect(await pod.ports.remove([{ hostPort: one }, { hostPort: 1 }])).to.deep.equal([
        { ...mapping, hostPort: one },
      ]);
      expect(fixture.network.publishedPorts()).to.deep.equal([two]);
      expect((await recorded())?.ports.map(({ hostPort }) => hostPort)).to.deep.equal([two]);
      expect(await pod.ports.remove([{ hostPort: one }])).to.deep.equal([]);
    });

    it('all or none: a port in use withdraws the others', async () => {
      const [one, two] = [await freePort(), await freePort()];
      const port = (hostPort: number) => ({ hostAddress: '127.0.0.1', hostPort, containerPort: 80 });
      await pod.nics.add({ id: 'x', network: 'back', portmappings: [port(two)] });
      const error = await failure(pod.ports.add([port(one), port(two)]));
      expect(hasCode(error, 'NET_PORT_IN_USE')).to.equal(true);
      expect(fixture.network.publishedPorts()).to.deep.equal([two]);
      expect((await recorded())?.ports).to.deep.equal([]);
      fixture.network.faults.plan('publish');
      await failure(pod.ports.add([port(one)]));
      expect(fixture.network.publishedPorts()).to.deep.equal([two]);
      await pod.ports.add([{ ...port(one), interface: 'x' }]);
      expect((await recorded('x'))?.ports).to.have.length(2);
    });

    it('of several NICs, all or none: those of the first are withdrawn when the second is refused', async () => {
      await pod.nics.add({ id: 'x', network: 'back' });
      const [one, busy] = [await freePort(), await freePort()];
      const server = createServer().listen(busy, '127.0.0.1');
      await once(server, 'listening');
      const port = (hostPort: number) => ({ hostAddress: '127.0.0.1', hostPort, containerPort: 80 });
      const error = await failure(pod.ports.add([port(one), { ...port(busy), interface: 'x' }]));
      expect(hasCode(error, 'NET_PORT_IN_USE')).to.equal(true);
      expect(fixture.network.publishedPorts()).to.deep.equal([]);
      expect((await fixture.record()).nics.flatMap(({ ports }) => ports)).to.deep.equal([]);
      await new Promise((resolve) => server.close(resolve));
    });

    it('stay in the record when they cannot be withdrawn, and go when it is tried again', async () => {
      const hostPort = await freePort();
      await pod.ports.add([{ hostAddress: '127.0.0.1', hostPort, containerPort: 80 }]);
      fixture.network.faults.plan('unpublish');
      await failure(pod.ports.remove([{ hostPort }]));
      expect((await recorded())?.ports).to.have.length(1);
      await pod.ports.remove([{ hostPort }]);
      expect((await recorded())?.ports).to.have.length(0);
    });

    it("follow their NIC's address, and keep the last one that they lead to", async () => {
      const hostPort = await freePort();
      await pod.ports.add([{ hostAddress: '127.0.0.1', hostPort, containerPort: 80 }]);
      const error = await failure(pod.nics.update('eth-default', { removeAddresses: ['10.90.0.2'] }));
      expect(hasCode(error, 'POD_SPEC_INVALID')).to.equal(true);
      expect(fixture.network.portTargets()).to.deep.equal(['10.90.0.2']);
      await pod.nics.update('eth-default', { addAddresses: ['10.90.0.9'], removeAddresses: ['10.90.0.2'] });
      expect(fixture.network.portTargets()).to.deep.equal(['10.90.0.9']);
    });
  });

  it('is all gone with the pod, whatever was added and removed', async () => {
    await pod.nics.add([{ network: 'back' }, { ifname: 'lo', ip: '10.200.0.1' }, { id: 'x' }]);
    await pod.nics.update('x', { addAddresses: ['10.90.0.40'] });
    await pod.nics.remove('eth-default');
    await reopened();
    await pod.nics.add({ network: 'tiny' });
    await pod.remove();
    expect(fixture.traces()).to.deep.equal({ taps: [], addresses: [] });
  });
});

describe('what is wrong with a NIC or a port that is to be added', () => {
  it('is named as it is in a specification', async () => {
    const fixture = new PodFixture();
    const pod = await fixture.pod();
    const words = async (call: Promise<unknown>) => String(await failure(call));
    try {
      expect(await words(pod.nics.add({ ifname: 'a b' }))).to.include(
        'interfaces[0].ifname: expected an interface name',
      );
      expect(await words(pod.nics.add({ mac: 'zz' }))).to.include('interfaces[0].mac: expected a MAC address');
      expect(await words(pod.nics.add([{}, { id: 'Ü' }]))).to.include('interfaces[1].id: expected lower-case letters');
      const error = await failure(pod.nics.add({ network: 'ü' }));
      expect(hasCode(error, 'NET_NOT_FOUND')).to.equal(true);
      expect(String(error)).to.include('interfaces.eth-1.network: expected one of default, back, tiny, got "ü"');
      const port = { hostPort: {} as never, containerPort: 1 };
      expect(await words(pod.ports.add([port]))).to.include('portmappings[0].hostPort: expected');
    } finally {
      await pod.remove();
    }
    fixture.dispose();
  });
});

describe('a pod without hot-plug', () => {
  it('is told so, and gets loopback addresses all the same', async () => {
    const fixture = new PodFixture({ hypervisor: { hotplugNic: false } });
    const pod = await fixture.pod();
    try {
      expect(hasCode(await failure(pod.nics.add({ network: 'back' })), 'NOT_SUPPORTED')).to.equal(true);
      await pod.nics.add({ ifname: 'lo', ip: '10.200.0.1' });
    } finally {
      await pod.remove();
    }
    expect(fixture.leftovers()).to.deep.equal([]);
    fixture.dispose();
  });
});

describe('ports of a network that is the hypervisor’s own', () => {
  it('are forwards of the VM', async () => {
    const fixture = new PodFixture({ network: { endpoints: ['builtin'] } });
    const pod = await fixture.pod();
    try {
      const hostPort = await freePort();
      await pod.ports.add([{ hostAddress: '127.0.0.1', hostPort, containerPort: 80 }]);
      const port = { hostAddress: '127.0.0.1', hostPort, containerPort: 81 };
      expect(hasCode(await failure(pod.ports.add([port])), 'NET_PORT_IN_USE')).to.equal(true);
      await pod.ports.remove([{ hostPort }]);
      const toAny = { ...port, containerPort: '80-83' };
      for (const refused of [pod.ports.add([toAny]), pod.nics.add({ network: 'back', portmappings: [toAny] })]) {
        const error = await failure(refused);
        expect(hasCode(error, 'NOT_SUPPORTED')).to.equal(true);
        expect(String(error)).to.match(/portmappings.containerPort: expected one port for hostPort \d+.*got 80-83/);
      }
      await pod.ports.add([port]);
    } finally {
      await pod.remove();
    }
    expect(fixture.leftovers()).to.deep.equal([]);
    fixture.dispose();
  });
});
