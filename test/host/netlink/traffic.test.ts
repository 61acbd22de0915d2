import { expect } from 'chai';
import type { AddressLease, AllowList, HostNic, NetworkSpec, PortMapping } from '../../../src/core/network.js';
import { IptablesFirewall } from '../../../src/plugins/iptables/firewall.js';
import { ensureNetSysctl } from '../../../src/plugins/netlink/sysctl.js';
import { type Answer, ask, Server } from '../../support/net-peer.js';
import {
  type Bench,
  callFor,
  madeLinks,
  networkSpec,
  savedRules,
  startBackend,
  tools,
} from '../../support/netlink-backend.js';
import { TestNamespace } from '../../support/netns.js';
import { rejects } from '../../support/rejects.js';
import { requireOrSkip } from '../../support/require.js';
import { RawSctp } from '../../support/sctp.js';
import { tempDirs } from '../../support/temp-dir.js';

/** Link-local addresses are to be had at once: waiting for duplicates takes a second or two. */
function namespaceWithoutDad(): TestNamespace {
  const namespace = new TestNamespace();
  for (const which of ['default', 'all']) ensureNetSysctl(namespace.path, `ipv6/conf/${which}/accept_dad`, '0');
  return namespace;
}

const HOST = '198.51.100.1';
const HOST_2 = '198.51.100.3';
const OUTSIDE = '198.51.100.2';

/**
 * Packets, in namespaces: a host with the backend, an outside that knows no route to pods, and pods. A pod's NIC is a veth
 * with the address of its lease; its tap is there too, with nobody behind it.
 */
describe('traffic of a netlink network', function () {
  this.timeout(120_000);
  let host: TestNamespace;
  let outside: TestNamespace;
  let bench: Bench;
  const pods: TestNamespace[] = [];
  const nics: HostNic[] = [];
  const leases: AddressLease[] = [];
  const servers: Server[] = [];
  let specs: readonly NetworkSpec[];

  before(function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
  });

  beforeEach(() => {
    host = namespaceWithoutDad();
    outside = namespaceWithoutDad();
    host.ip('link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up0', 'netns', outside.name);
    for (const [namespace, last] of [
      [host, 1],
      [outside, 2],
    ] as const) {
      namespace.ip('address', 'add', `198.51.100.${last}/24`, 'dev', 'up0');
      namespace.ip('address', 'add', `2001:db8::${last}/64`, 'dev', 'up0', 'nodad');
      namespace.ip('link', 'set', 'up0', 'up');
    }
    host.ip('address', 'add', `${HOST_2}/24`, 'dev', 'up0');
    outside.ip('address', 'add', '198.51.100.99/24', 'dev', 'up0');
    host.ip('route', 'add', 'default', 'via', OUTSIDE);
    host.ip('-6', 'route', 'add', 'default', 'via', '2001:db8::2');
    // As on a careful host: what no rule lets through is dropped.
    for (const program of ['iptables', 'ip6tables']) host.exec(program, '-P', 'FORWARD', 'DROP');
  });

  afterEach(async () => {
    for (const server of servers.splice(0)) await server.stop();
    for (const nic of nics.splice(0)) {
      await bench.backend.detach(nic.record, callFor());
      await nic.handedOver();
    }
    for (const lease of leases.splice(0)) await bench.backend.releaseAddress(lease, callFor());
    for (const pod of pods.splice(0)) pod.delete();
    for (const { name } of specs ?? []) await bench.backend.teardown(name, callFor());
    const left = [...madeLinks(host).filter((name) => !/^(up0|v\d)/.test(name)), ...savedRules(host)];
    await bench.stop();
    for (const namespace of [host, outside]) namespace.delete();
    expect(left, 'left on the host').to.deep.equal([]);
  });

  // After the hook that needs it: hooks run in the order in which they stand.
  const directory = tempDirs();

  const start = async (...networks: NetworkSpec[]) => {
    specs = networks;
    bench = await startBackend({ namespace: host, directory: directory() });
    await bench.backend.init(networks, callFor());
  };

  const pod = async (
    id: string,
    ports: readonly PortMapping[] = [],
    network = 'default',
    serves: number[] = [],
    allow?: AllowList,
  ) => {
    const call = callFor();
    const lease = await bench.backend.allocateAddress({ network, podId: id, nicId: 'n', addresses: [] }, call);
    leases.push(lease);
    const { mtu } = lease;
    const plan = {
      podId: id,
      nicId: 'n',
      mac: '02:00:00:00:00:01',
      mtu,
      queues: 1,
      lease,
      ports,
      endpoint: 'tap-fd',
      ...(allow && { allow }),
    } as const;
    const nic = await bench.backend.attach(plan, call);
    nics.push(nic);
    const namespace = namespaceWithoutDad();
    pods.push(namespace);
    const bridge = (nic.record.data as { bridge: string }).bridge;
    host.ip('link', 'add', `v${pods.length}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace.name);
    host.ip('link', 'set', `v${pods.length}`, 'master', bridge, 'up');
    const [tap] = host.json('link', 'show', (nic.record.data as { device: string }).device);
    const { hairpin } = tap.linkinfo.info_slave_data;
    host.ip('link', 'set', `v${pods.length}`, 'type', 'bridge_slave', 'hairpin', hairpin ? 'on' : 'off');
    for (const { address, prefixLength } of lease.addresses) {
      namespace.ip(
        'address',
        'add',
        `${address}/${prefixLength}`,
        'dev',
        'eth0',
        ...(address.includes(':') ? ['nodad'] : []),
      );
    }
    namespace.ip('link', 'set', 'eth0', 'up');
    for (const gateway of lease.gateways) {
      namespace.ip(...(gateway.includes(':') ? ['-6'] : []), 'route', 'add', 'default', 'via', gateway);
    }
    if (serves.length > 0) servers.push(await Server.start(namespace, id, serves));
    const four = lease.addresses.find(({ address }) => !address.includes(':'))?.address ?? '';
    return { namespace, nic, lease, four };
  };

  const mapping = (parts: Partial<PortMapping> & { hostPort: number }): PortMapping => ({
    protocol: 'tcp',
    hostAddress: '0.0.0.0',
    guestPort: 80,
    count: 1,
    ...parts,
  });
  const answer = (label: string, from: string, port: number): Answer => ({ label, from, port });

  it('pods reach each other and the host; outside they appear under its address, in both families', async () => {
    await start(networkSpec({ subnets: ['192.168.123.0/24', 'fd00:123::/64'] }));
    servers.push(await Server.start(outside, 'outside', [7000]), await Server.start(host, 'host', [7001]));
    const a = await pod('a');
    const b = await pod('b', [], 'default', [7002]);
    const six = b.lease.addresses.find(({ address }) => address.includes(':'))?.address;
    const own = a.lease.addresses.find(({ address }) => address.includes(':'))?.address ?? '';
    expect(
      await ask(
        a.namespace,
        `tcp/${OUTSIDE}/7000`,
        `udp/${OUTSIDE}/7000`,
        'tcp/2001:db8::2/7000',
        'tcp/192.168.123.1/7001',
        `tcp/${b.four}/7002`,
        `udp/${six}/7002`,
      ),
    ).to.deep.equal([
      answer('outside', HOST, 7000),
      answer('outside', HOST, 7000),
      answer('outside', '2001:db8::1', 7000),
      answer('host', a.four, 7001),
      answer('b', a.four, 7002),
      answer('b', own, 7002),
    ]);
    // From outside, with a route that it should not have, nothing is let in.
    outside.ip('route', 'add', '192.168.123.0/24', 'via', HOST);
    expect(await ask(outside, `tcp/${b.four}/7002`)).to.deep.equal(['silence']);
  });

  it('a published port answers from outside, from the host, on localhost and by hairpin, over tcp and udp', async () => {
    await start(networkSpec());
    const ports = [mapping({ hostPort: 8080 }), mapping({ hostPort: 8080, protocol: 'udp' })];
    const server = await pod('server', ports, 'default', [80]);
    const other = await pod('other');
    for (const protocol of ['tcp', 'udp']) {
      expect(await ask(outside, `${protocol}/${HOST}/8080`), 'outside').to.deep.equal([answer('server', OUTSIDE, 80)]);
      const fromHost = await ask(host, `${protocol}/${HOST}/8080`, `${protocol}/127.0.0.1/8080`);
      expect(
        fromHost.map((one) => (one as Answer).label),
        `host, ${protocol}`,
      ).to.deep.equal(['server', 'server']);
      for (const client of [other, server]) {
        const [hairpin] = await ask(client.namespace, `${protocol}/${HOST}/8080`);
        expect(hairpin, `hairpin, ${protocol}`).to.deep.include({ label: 'server', port: 80 });
      }
    }
    expect(await ask(outside, `tcp/${HOST}/80`)).to.deep.equal(['refused']);
  });

  it("the host's loopback is not reached by way of the bridge, though the host's packets may leave by it", async () => {
    await start(networkSpec());
    servers.push(await Server.start(host, 'secret', [9999]));
    const { namespace, four } = await pod('curious');
    namespace.ip('address', 'delete', '127.0.0.1/8', 'dev', 'lo');
    ensureNetSysctl(namespace.path, 'ipv4/conf/eth0/route_localnet', '1');
    namespace.ip('route', 'add', '127.0.0.1', 'via', '192.168.123.1', 'src', four);
    expect(await ask(namespace, 'tcp/127.0.0.1/9999')).to.deep.equal(['silence']);
    // It is the rule that keeps it out.
    host.exec('iptables', '-D', 'INPUT', '1');
    expect(await ask(namespace, 'tcp/127.0.0.1/9999')).to.deep.equal([answer('secret', four, 9999)]);
  });

  it('a range maps each port to its own: first, last, and not their neighbours', async () => {
    await start(networkSpec());
    const serves = Array.from({ length: 14 }, (_, i) => 5998 + i);
    const ports = [
      mapping({ hostPort: 9000, guestPort: 6000, count: 10 }),
      mapping({ hostPort: 6000, guestPort: 6000, count: 10, protocol: 'udp' }),
    ];
    await pod('server', ports, 'default', serves);
    const asked = [9000, 9001, 9005, 9009].map((port) => `tcp/${HOST}/${port}`);
    expect(await ask(outside, ...asked)).to.deep.equal(
      [6000, 6001, 6005, 6009].map((port) => answer('server', OUTSIDE, port)),
    );
    expect(await ask(outside, `tcp/${HOST}/8999`, `tcp/${HOST}/9010`)).to.deep.equal(['refused', 'refused']);
    expect(await ask(outside, `udp/${HOST}/6000`, `udp/${HOST}/6009`, `udp/${HOST}/6010`)).to.deep.equal([
      answer('server', OUTSIDE, 6000),
      answer('server', OUTSIDE, 6009),
      'refused',
    ]);
  });

  it('one port that leads to several: each connection is answered by one of them, all of them are, and no other', async () => {
    await start(networkSpec({ subnets: ['192.168.123.0/24', 'fd00:123::/64'] }));
    const serves = [79, 80, 81, 82, 83, 84];
    const toAny = (parts: Partial<PortMapping>) => mapping({ hostPort: 7000, guestCount: 4, ...parts });
    const { nic, lease, namespace } = await pod(
      'server',
      [toAny({}), toAny({ protocol: 'udp' }), toAny({ hostAddress: '::' })],
      'default',
      serves,
    );
    const met = async (from: TestNamespace, target: string, tries = 48) => {
      const answers = await ask(from, ...Array.from({ length: tries }, () => target));
      return [...new Set(answers.map((one) => (one as Answer).port ?? one))].sort();
    };
    // That one of four is not met in 48 tries happens once in 250 000 times, for each of these.
    for (const target of [`tcp/${HOST}/7000`, `udp/${HOST}/7000`, 'tcp/2001:db8::1/7000']) {
      expect(await met(outside, target), `outside, ${target}`).to.deep.equal([80, 81, 82, 83]);
    }
    expect(await met(host, 'tcp/127.0.0.1/7000'), 'localhost').to.deep.equal([80, 81, 82, 83]);
    expect(await met(namespace, `tcp/${HOST}/7000`), 'hairpin').to.deep.equal([80, 81, 82, 83]);
    expect(await ask(outside, `tcp/${HOST}/7001`, `tcp/${HOST}/80`)).to.deep.equal(['refused', 'refused']);
    // The host's one port is held, as any is.
    servers.push(await Server.start(host, 'host', [7001]));
    await rejects(bench.backend.publish(nic.record, lease, [toAny({ hostPort: 7001 })], callFor()), 'NET_PORT_IN_USE');
    await bench.backend.unpublish(nic.record, [toAny({})], callFor());
    expect(await ask(outside, `tcp/${HOST}/7000`), 'withdrawn').to.deep.equal(['refused']);
    await bench.backend.publish(nic.record, lease, [toAny({})], callFor());
    expect(await met(outside, `tcp/${HOST}/7000`), 'published anew').to.deep.equal([80, 81, 82, 83]);
  });

  it('sctp: an INIT to a published port of a range reaches the pod at its own, with a checksum that is right', async () => {
    await start(networkSpec());
    const { namespace } = await pod('server', [
      mapping({ hostPort: 9000, guestPort: 6000, count: 3, protocol: 'sctp' }),
    ]);
    const [sender, receiver] = [new RawSctp(outside), new RawSctp(namespace)];
    try {
      for (const [port, tag] of [
        [9003, 2],
        [9002, 1],
      ] as const)
        sender.send(HOST, 40_000, port, tag);
      expect(await receiver.seen(1, 10_000)).to.deep.equal({
        from: OUTSIDE,
        sourcePort: 40_000,
        destinationPort: 6002,
        sound: true,
      });
      // What is not published went out before it.
      expect(await receiver.seen(2, 0), 'the neighbour').to.equal(undefined);
    } finally {
      sender.close();
      receiver.close();
    }
  });

  it('a host address is the only one that a port answers on; IPv6 has ports of its own', async () => {
    await start(networkSpec({ subnets: ['192.168.123.0/24', 'fd00:123::/64'] }));
    const ports = [mapping({ hostPort: 8080, hostAddress: HOST_2 }), mapping({ hostPort: 8081, hostAddress: '::' })];
    const { nic, lease } = await pod('server', ports, 'default', [80]);
    expect(
      await ask(outside, `tcp/${HOST_2}/8080`, `tcp/${HOST}/8080`, 'tcp/2001:db8::1/8081', `tcp/${HOST}/8081`),
    ).to.deep.equal([answer('server', OUTSIDE, 80), 'refused', answer('server', '2001:db8::2', 80), 'refused']);
    const [own, loopback] = await ask(host, 'tcp/2001:db8::1/8081', 'tcp/::1/8081');
    expect(own).to.deep.include({ label: 'server', port: 80 });
    expect(loopback, 'Linux routes nothing from there').to.equal('silence');
    const asked = mapping({ hostPort: 8082, hostAddress: '::1' });
    await rejects(bench.backend.publish(nic.record, lease, [asked], callFor()), 'NOT_SUPPORTED', 'hostAddress', '::1');
  });

  it('ports come and go while a NIC is attached, and udp flows from before follow', async () => {
    await start(networkSpec());
    const call = callFor();
    const a = await pod('a', [], 'default', [80]);
    const b = await pod('b', [], 'default', [80]);
    const port = mapping({ hostPort: 8080, protocol: 'udp' });
    // The same client port each time: one flow, as the kernel sees it.
    const target = `udp/${HOST}/8080/40000`;
    expect(await ask(outside, target)).to.deep.equal(['refused']);
    await bench.backend.publish(a.nic.record, a.lease, [port], call);
    await bench.backend.publish(a.nic.record, a.lease, [port], call);
    expect(await ask(outside, target)).to.deep.equal([answer('a', OUTSIDE, 80)]);
    await bench.backend.unpublish(a.nic.record, [port], call);
    await bench.backend.unpublish(a.nic.record, [port], call);
    await bench.backend.publish(b.nic.record, b.lease, [port], call);
    expect(await ask(outside, target)).to.deep.equal([answer('b', OUTSIDE, 80)]);
    await bench.backend.unpublish(b.nic.record, [port], call);
    expect(await ask(outside, target)).to.deep.equal(['refused']);
  });

  it('an allow-list lets in who is listed: internal networks everywhere, external ones to published ports', async () => {
    const spec = networkSpec({ allow: { internal: [`${OUTSIDE}/32`], external: ['198.51.100.99/32'] } });
    await start(spec);
    const { four } = await pod('server', [mapping({ hostPort: 8080 })], 'default', [80, 81]);
    outside.ip('route', 'add', '192.168.123.0/24', 'via', HOST);
    const targets = [`tcp/${HOST}/8080`, `tcp/${four}/81`];
    expect(await ask(outside, ...targets), 'internal').to.deep.equal([
      answer('server', OUTSIDE, 80),
      answer('server', OUTSIDE, 81),
    ]);
    outside.ip('route', 'replace', HOST, 'dev', 'up0', 'src', '198.51.100.99');
    outside.ip('route', 'replace', '192.168.123.0/24', 'via', HOST, 'src', '198.51.100.99');
    expect(await ask(outside, ...targets), 'external').to.deep.equal([
      answer('server', '198.51.100.99', 80),
      'silence',
    ]);
    outside.ip('address', 'add', '198.51.100.77/24', 'dev', 'up0');
    outside.ip('route', 'replace', HOST, 'dev', 'up0', 'src', '198.51.100.77');
    expect(await ask(outside, `tcp/${HOST}/8080`), 'stranger').to.deep.equal(['silence']);
    const [local] = await ask(host, 'tcp/127.0.0.1/8080');
    expect(local, 'the host').to.deep.include({ label: 'server' });
  });

  for (const variant of ['nft', 'legacy'] as const) {
    it(`a pod's own lists let in who is listed, and nobody is hindered to reach the next pod (${variant})`, async () => {
      specs = [networkSpec({ subnets: ['192.168.123.0/24', 'fd00:123::/64'] })];
      for (const program of ['iptables', 'ip6tables']) host.exec(`${program}-${variant}`, '-P', 'FORWARD', 'ACCEPT');
      for (const program of ['iptables', 'ip6tables']) host.exec(program, '-P', 'FORWARD', 'ACCEPT');
      const firewall = new IptablesFirewall({ variant, netns: host.path }, tools);
      bench = await startBackend({ namespace: host, directory: directory(), firewall });
      await bench.backend.init(specs, callFor());
      const ports = [mapping({ hostPort: 8080 }), mapping({ hostPort: 8080, hostAddress: '::' })];
      const lists = {
        internal: [`${OUTSIDE}/32`, '2001:db8::2/128'],
        external: ['198.51.100.99/32', '2001:db8::99/128'],
      };
      const { four, lease, nic, namespace } = await pod('server', ports, 'default', [80, 81], lists);
      const open = await pod('open', [], 'default', [81]);
      const six = lease.addresses.find(({ address }) => address.includes(':'))?.address;
      for (const last of [77, 99]) {
        outside.ip('address', 'replace', `198.51.100.${last}/24`, 'dev', 'up0');
        outside.ip('address', 'add', `2001:db8::${last}/64`, 'dev', 'up0', 'nodad');
      }
      const from = (last: number) => {
        for (const to of [HOST, '192.168.123.0/24']) {
          outside.ip(
            'route',
            'replace',
            to,
            ...(to === HOST ? [] : ['via', HOST]),
            'dev',
            'up0',
            'src',
            `198.51.100.${last}`,
          );
        }
        for (const to of ['2001:db8::1', 'fd00:123::/64']) {
          const via = to === '2001:db8::1' ? [] : ['via', '2001:db8::1'];
          outside.ip('-6', 'route', 'replace', to, ...via, 'dev', 'up0', 'src', `2001:db8::${last}`);
        }
      };
      const published = [`tcp/${HOST}/8080`, 'tcp/2001:db8::1/8080'];
      const direct = [`tcp/${four}/81`, `tcp/${six}/81`];
      const both = (last: number, port: number) => [
        answer('server', `198.51.100.${last}`, port),
        answer('server', `2001:db8::${last}`, port),
      ];
      from(2);
      expect(await ask(outside, ...published, ...direct), 'internal').to.deep.equal([...both(2, 80), ...both(2, 81)]);
      from(99);
      const silence = ['silence', 'silence'];
      expect(await ask(outside, ...published, ...direct), 'external').to.deep.equal([...both(99, 80), ...silence]);
      from(77);
      const asked = await ask(outside, ...published, ...direct, `tcp/${open.four}/81`);
      expect(asked, 'a stranger').to.deep.equal([...silence, ...silence, answer('open', '198.51.100.77', 81)]);
      const local = await ask(host, 'tcp/127.0.0.1/8080');
      expect(local[0], 'the host').to.deep.include({ label: 'server' });
      // Its own way out, and the answers.
      servers.push(await Server.start(outside, 'outside', [7000]));
      expect(await ask(namespace, `tcp/${OUTSIDE}/7000`)).to.deep.equal([answer('outside', HOST, 7000)]);

      await bench.backend.detach(nic.record, callFor());
      const rules = await firewall.restricted(callFor());
      expect(rules, 'after it has gone').to.deep.equal([]);
    });
  }

  it('an isolated network is apart from others, which reach each other', async () => {
    await start(
      networkSpec(),
      networkSpec({ name: 'second', subnets: ['192.168.124.0/24'] }),
      networkSpec({ name: 'alone', subnets: ['192.168.125.0/24'], isolated: true }),
    );
    servers.push(await Server.start(outside, 'outside', [7000]));
    const first = await pod('first', [], 'default', [80]);
    const second = await pod('second', [], 'second', [80]);
    const alone = await pod('alone', [], 'alone', [80]);
    expect(await ask(first.namespace, `tcp/${second.four}/80`, `tcp/${alone.four}/80`)).to.deep.equal([
      // The original's rule: what leaves a network for elsewhere has the host's address, of the way out.
      answer('second', '192.168.124.1', 80),
      'silence',
    ]);
    expect(await ask(alone.namespace, `tcp/${first.four}/80`, `tcp/${OUTSIDE}/7000`)).to.deep.equal([
      'silence',
      answer('outside', HOST, 7000),
    ]);
  });
});
