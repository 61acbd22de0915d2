import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect } from 'chai';
import type { ErrorCode } from '../../../../src/core/error-codes.js';
import { type HyperplugError, hasCode } from '../../../../src/core/errors.js';
import type { NetworkSpec, NicPlan, PortMapping } from '../../../../src/core/network.js';
import { BuiltinNetBackend } from '../../../../src/plugins/builtin-net/backend.js';

const call = () => ({ signal: AbortSignal.timeout(10_000) });
const network = (changes: Partial<NetworkSpec> = {}): NetworkSpec => ({
  name: 'default',
  subnets: ['10.0.2.0/24', 'fd00:2::/64'],
  mtu: null,
  isolated: false,
  dns: [],
  ...changes,
});

async function refused(promise: Promise<unknown>, code: ErrorCode): Promise<HyperplugError> {
  const error = await promise.then(
    () => expect.fail('it did not reject'),
    (reason: unknown) => reason,
  );
  expect(hasCode(error, code), String(error)).to.equal(true);
  return error as HyperplugError;
}

describe('builtin-net', () => {
  let backend: BuiltinNetBackend;
  beforeEach(async () => {
    backend = new BuiltinNetBackend();
    await backend.init([network(), network({ name: 'second', subnets: ['192.168.5.0/28'], mtu: 1300 })], call());
  });

  const lease = (changes: object = {}) =>
    backend.allocateAddress({ network: 'default', podId: 'p', nicId: 'n0', addresses: [], ...changes }, call());
  const plan = async (ports: readonly PortMapping[], changes: Partial<NicPlan> = {}): Promise<NicPlan> => ({
    podId: 'p',
    nicId: 'n0',
    mac: '52:54:00:00:00:01',
    mtu: 1500,
    queues: 1,
    lease: await lease(),
    ports,
    endpoint: 'builtin',
    ...changes,
  });
  const tcp = (hostPort: number, changes: Partial<PortMapping> = {}): PortMapping => ({
    protocol: 'tcp',
    hostAddress: '127.0.0.1',
    hostPort,
    guestPort: 80,
    count: 1,
    ...changes,
  });

  describe('specifications', () => {
    for (const [changes, field] of [
      [{ subnets: ['10.0.2.0/30'] }, 'subnets[0]'],
      [{ subnets: ['10.0.0.0/7'] }, 'subnets[0]'],
      [{ subnets: ['fd00::/48'] }, 'subnets[0]'],
      [{ subnets: ['10.0.2.0'] }, 'subnets[0]'],
      [{ subnets: ['nonsense/24'] }, 'subnets[0]'],
      [{ subnets: ['10.0.2.0/24', '10.0.3.0/24'] }, 'subnets'],
      [{ subnets: [] }, 'subnets'],
      [{ bridge: 'hyper0' }, 'bridge'],
      [{ mtu: 9000 }, 'mtu'],
      [{ mtu: 1000 }, 'mtu'],
      [{ dns: ['dns.example'] }, 'dns'],
    ] as [Partial<NetworkSpec>, string][]) {
      it(`refuses ${JSON.stringify(changes)}, naming ${field}`, async () => {
        const error = await refused(new BuiltinNetBackend().init([network(changes)], call()), 'NET_SPEC_INVALID');
        expect(error.details.field).to.equal(`network.networks.default.${field}`);
      });
    }

    it('a small MTU is for IPv4 alone', async () => {
      await new BuiltinNetBackend().init([network({ subnets: ['10.0.2.0/24'], mtu: 1000 })], call());
    });
  });

  describe('addresses', () => {
    it("are QEMU's own where none are asked for, with gateway and DNS", async () => {
      expect(await lease()).to.deep.equal({
        network: 'default',
        podId: 'p',
        nicId: 'n0',
        addresses: [
          { address: '10.0.2.15', prefixLength: 24 },
          { address: 'fd00:2::f', prefixLength: 64 },
        ],
        gateways: ['10.0.2.2', 'fd00:2::2'],
        dns: ['10.0.2.3'],
        mtu: 1500,
      });
      const small = await lease({ network: 'second', nicId: 'n1' });
      expect(small.addresses).to.deep.equal([{ address: '192.168.5.14', prefixLength: 28 }]);
      expect(small.mtu).to.equal(1300);
    });

    it('are those asked for, in canonical form, and only of their families', async () => {
      const given = await lease({ addresses: ['FD00:2:0::0AB'] });
      expect(given.addresses).to.deep.equal([{ address: 'fd00:2::ab', prefixLength: 64 }]);
      expect(given.gateways).to.deep.equal(['fd00:2::2']);
      expect(given.dns).to.deep.equal(['fd00:2::3']);
    });

    it("take the network's name servers before QEMU's", async () => {
      await backend.init([network({ dns: ['9.9.9.9'] })], call());
      expect((await lease()).dns).to.deep.equal(['9.9.9.9']);
    });

    for (const [address, code] of [
      ['10.0.2.0', 'IPAM_ADDRESS_RESERVED'],
      ['10.0.2.2', 'IPAM_ADDRESS_RESERVED'],
      ['10.0.2.3', 'IPAM_ADDRESS_RESERVED'],
      ['10.0.2.255', 'IPAM_ADDRESS_RESERVED'],
      ['fd00:2::', 'IPAM_ADDRESS_RESERVED'],
      ['fd00:2:0:0::2', 'IPAM_ADDRESS_RESERVED'],
      ['10.0.3.1', 'IPAM_ADDRESS_OUT_OF_RANGE'],
      ['fd00:3::1', 'IPAM_ADDRESS_OUT_OF_RANGE'],
      ['10.0.2.300', 'IPAM_ADDRESS_INVALID'],
      ['', 'IPAM_ADDRESS_INVALID'],
    ] as [string, ErrorCode][]) {
      it(`refuses ${JSON.stringify(address)}: ${code}`, async () => {
        await refused(lease({ addresses: [address] }), code);
      });
    }

    it('refuses two of one family, and one of a family the network has not', async () => {
      await refused(lease({ addresses: ['10.0.2.20', '10.0.2.21'] }), 'IPAM_ADDRESS_INVALID');
      await refused(lease({ network: 'second', addresses: ['fd00::9'] }), 'IPAM_ADDRESS_INVALID');
    });

    it('may be the same in two pods, since each has a network of its own', async () => {
      expect((await lease({ podId: 'a' })).addresses).to.deep.equal((await lease({ podId: 'b' })).addresses);
    });

    it('nor may it follow one that another process attached', async () => {
      const theirs = await lease();
      const other = new BuiltinNetBackend();
      await other.init([network()], call());
      other.adoptLease(theirs);
      const request = { network: 'default', podId: theirs.podId, nicId: 'n1', addresses: [] };
      await refused(other.allocateAddress(request, call()), 'NET_SPEC_INVALID');
      await other.releaseAddress({ ...theirs, addresses: [] });
      await other.allocateAddress(request, call());
    });

    it('a second NIC of a pod in the same network is refused, until the first is gone', async () => {
      const first = await lease();
      await refused(lease({ nicId: 'n1' }), 'NET_SPEC_INVALID');
      expect(await lease()).to.deep.equal(first);
      await backend.releaseAddress({ ...first, addresses: [] });
      await backend.releaseAddress(first);
      await lease({ nicId: 'n1' });
    });

    it('a network that is not known is named', async () => {
      expect((await refused(lease({ network: 'none' }), 'NET_NOT_FOUND')).message).to.include('default, second');
    });
  });

  describe('ports', () => {
    let busy: number;
    let close: () => void;
    beforeEach(async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      busy = (server.address() as { port: number }).port;
      close = () => server.close();
    });
    afterEach(() => close());

    const attach = async (ports: readonly PortMapping[], changes: Partial<NicPlan> = {}) =>
      backend.attach(await plan(ports, changes), call());

    it('a range is port by port', async () => {
      const { endpoint } = await attach([tcp(48_100, { guestPort: 8_100, count: 3 })]);
      expect(
        endpoint.kind === 'builtin' && endpoint.forwards.map((each) => [each.hostPort, each.guestPort]),
      ).to.deep.equal([
        [48_100, 8_100],
        [48_101, 8_101],
        [48_102, 8_102],
      ]);
    });

    it('one in use is named, with who holds it, and nothing is held back', async () => {
      const error = await refused(attach([tcp(busy)]), 'NET_PORT_IN_USE');
      expect(error.message).to.include(`${busy}/tcp on 127.0.0.1`).and.to.include(`process ${process.pid}`);
      close();
      await attach([tcp(busy)], { nicId: 'n1', lease: await lease() });
    });

    it('one in use on all addresses is in use on each', async () => {
      await refused(attach([tcp(busy, { hostAddress: '0.0.0.0' })]), 'NET_PORT_IN_USE');
    });

    it('TCP and UDP are apart', async () => {
      await attach([tcp(busy, { protocol: 'udp' })]);
      const socket = createSocket('udp4');
      socket.bind(0, '127.0.0.1');
      await once(socket, 'listening');
      const held = tcp(socket.address().port, { protocol: 'udp' });
      await refused(attach([held], { nicId: 'n1', lease: await lease() }), 'NET_PORT_IN_USE');
      socket.close();
    });

    it('one that another NIC of ours is about to take is taken', async () => {
      close();
      const host = await attach([tcp(busy)]);
      await refused(attach([tcp(busy)], { podId: 'other' }), 'NET_PORT_IN_USE');
      await attach([tcp(busy)]);
      await backend.detach(host.record);
      await backend.detach(host.record);
      await attach([tcp(busy)], { podId: 'other' });
    });

    for (const [ports, code] of [
      [[tcp(1, { protocol: 'sctp' })], 'NOT_SUPPORTED'],
      [[tcp(1, { hostAddress: '::1' })], 'NOT_SUPPORTED'],
      [[tcp(65_535, { count: 2 })], 'NET_SPEC_INVALID'],
      [[tcp(0)], 'NET_SPEC_INVALID'],
      [[tcp(48_000), tcp(48_000, { guestPort: 81, hostAddress: '0.0.0.0' })], 'NET_SPEC_INVALID'],
      [[tcp(10_000, { guestPort: 10_000, count: 1_025 })], 'NET_SPEC_INVALID'],
      [[tcp(48_000, { hostAddress: '192.0.2.1' })], 'NET_SPEC_INVALID'],
    ] as [PortMapping[], ErrorCode][]) {
      it(`refuses ${JSON.stringify(ports)}: ${code}`, async () => {
        await refused(attach(ports), code);
      });
    }

    it('refuses other endpoints, several queues, and ports of a NIC without IPv4', async () => {
      await refused(attach([], { endpoint: 'tap-fd' }), 'NOT_SUPPORTED');
      await refused(attach([], { queues: 2 }), 'NOT_SUPPORTED');
      await refused(attach([tcp(48_000)], { lease: await lease({ addresses: ['fd00:2::9'] }) }), 'NOT_SUPPORTED');
    });
  });

  it('tells its networks, and has nothing to tear down', async () => {
    await backend.teardown('default');
    expect((await backend.status()).map(({ name, gateways, drift }) => [name, gateways, drift])).to.deep.equal([
      ['default', ['10.0.2.2', 'fd00:2::2'], []],
      ['second', ['192.168.5.2'], []],
    ]);
    await refused(backend.teardown('none'), 'NET_NOT_FOUND');
  });
});
