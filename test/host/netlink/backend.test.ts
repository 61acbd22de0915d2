import { execFile } from 'node:child_process';
import { closeSync, existsSync, readSync, symlinkSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { hasCode } from '../../../src/core/errors.js';
import type { Firewall } from '../../../src/core/firewall.js';
import type { HostNic, NetworkSpec, NicPlan, PortMapping } from '../../../src/core/network.js';
import { acquireLock } from '../../../src/host/lock.js';
import type { ToolProvider } from '../../../src/host/tools.js';
import { IptablesFirewall } from '../../../src/plugins/iptables/firewall.js';
import { NftSocket } from '../../../src/plugins/iptables/nft/socket.js';
import type { NetlinkOptions } from '../../../src/plugins/netlink/options.js';
import { ensureNetSysctl, readNetSysctl } from '../../../src/plugins/netlink/sysctl.js';
import { openTap } from '../../../src/plugins/netlink/tap.js';
import { NoFirewall } from '../../../src/plugins/none-firewall/index.js';
import { eventually } from '../../support/eventually.js';
import {
  type Bench,
  callFor,
  holdPortIn,
  listeningPorts,
  madeLinks,
  networkSpec,
  openDescriptors,
  savedRules,
  startBackend,
  tools,
} from '../../support/netlink-backend.js';
import { TestNamespace } from '../../support/netns.js';
import { rejects } from '../../support/rejects.js';
import { requireOrSkip } from '../../support/require.js';
import { tempDirs } from '../../support/temp-dir.js';

const INIT = fileURLToPath(new URL('../../support/netlink-init.js', import.meta.url));

describe('netlink backend', function () {
  this.timeout(120_000);
  let namespace: TestNamespace;
  let directory: string;
  let before_: number;
  const benches: Bench[] = [];

  before(function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
  });
  beforeEach(() => {
    namespace = new TestNamespace();
    directory = directories();
    before_ = openDescriptors();
  });
  afterEach(async () => {
    for (const bench of benches.splice(0)) await bench.stop();
    namespace.delete();
    expect(openDescriptors(), 'open descriptors').to.be.at.most(before_);
  });

  // After the hook that needs it: hooks run in the order in which they stand.
  const directories = tempDirs();

  const start = async (firewall?: Firewall, options: Partial<NetlinkOptions> = {}): Promise<Bench> => {
    const bench = await startBackend({ namespace, directory, options, ...(firewall && { firewall }) });
    benches.push(bench);
    return bench;
  };
  const ready = async (spec: Partial<NetworkSpec> = {}, firewall: Firewall = new NoFirewall(), options = {}) => {
    const bench = await start(firewall, options);
    await bench.backend.init([networkSpec(spec)], callFor());
    return bench;
  };
  const attach = async ({ backend }: Bench, podId: string, parts: Partial<NicPlan> = {}): Promise<HostNic> => {
    const call = callFor();
    const request = { network: 'default', podId, nicId: 'n', addresses: [] };
    const lease = parts.lease ?? (await backend.allocateAddress(request, call));
    const mac = '02:00:00:00:00:01';
    return backend.attach(
      { podId, nicId: 'n', mac, mtu: lease.mtu, queues: 1, lease, ports: [], endpoint: 'tap-fd', ...parts },
      call,
    );
  };
  const record = (nic: HostNic) => nic.record.data as { device: string; bridge: string; alias: string };

  it('20 inits by 4 processes at once end with one bridge and the rules of one init, byte for byte', async () => {
    const { backend } = await start();
    await backend.init([networkSpec({ subnets: ['192.168.123.0/24', 'fd00:123::/64'] })], callFor());
    const rules = savedRules(namespace);
    const link = namespace.ip('address', 'show', 'hyper0').replace(/^\d+:/, '');
    await backend.teardown('default', callFor());
    expect([...madeLinks(namespace), ...savedRules(namespace)]).to.deep.equal([]);
    const run = promisify(execFile);
    await Promise.all(
      Array.from({ length: 4 }, () =>
        run(process.execPath, [INIT, namespace.name, directory, '5'], { timeout: 110_000 }),
      ),
    );
    expect(savedRules(namespace)).to.deep.equal(rules);
    expect(madeLinks(namespace)).to.deep.equal(['hyper0']);
    const address = (text: string) =>
      text
        .split('\n')
        .filter((line) => /inet|mtu|link\/ether/.test(line))
        .join('\n');
    expect(address(namespace.ip('address', 'show', 'hyper0')).replace(/^\d+:/, '')).to.equal(address(link));
  });

  it('flushed rules are repaired, and rules that belong to nothing are taken away', async () => {
    const { backend } = await ready({}, new IptablesFirewall({ variant: 'auto', netns: namespace.path }, tools));
    const rules = savedRules(namespace);
    namespace.exec('iptables', '-F');
    namespace.exec('iptables', '-t', 'nat', '-F');
    namespace.exec(
      'iptables',
      '-A',
      'FORWARD',
      '-m',
      'comment',
      '--comment',
      'hyperplug gone outgoing',
      '-j',
      'ACCEPT',
    );
    const [status] = await backend.status(callFor());
    expect(status?.drift.filter((text) => text.includes('missing'))).to.have.length.greaterThan(5);
    expect(status?.drift.filter((text) => text.includes('foreign'))).to.have.length(1);
    await backend.repair(undefined, callFor());
    expect(savedRules(namespace)).to.deep.equal(rules);
    expect((await backend.status(callFor()))[0]?.drift).to.deep.equal([]);
  });

  it('a firewall that fails ends init with its own words, and nothing is left', async () => {
    const words: ToolProvider = {
      async locate(name, options) {
        const tool = await tools.locate(name, options);
        return name.endsWith('-save') ? tool : { ...tool, path: '/usr/bin/env', env: { ...tool.env } };
      },
    };
    const { backend } = await start(new IptablesFirewall({ variant: 'auto', netns: namespace.path }, words));
    // env(1) stands for a program that refuses: it knows no --noflush.
    await rejects(backend.init([networkSpec()], callFor()), 'FIREWALL_FAILED', /noflush/);
    expect([...madeLinks(namespace), ...savedRules(namespace)]).to.deep.equal([]);
  });

  it('without a firewall no rule of ours exists, and ports cannot be published', async () => {
    const bench = await ready({ subnets: ['192.168.123.0/24', 'fd00:123::/64'] });
    const ports = [{ protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80, count: 1 }] as const;
    await rejects(attach(bench, 'p', { ports }), 'NOT_SUPPORTED', 'firewall.driver');
    const nic = await attach(bench, 'p');
    for (const program of ['iptables-save', 'ip6tables-save', 'iptables-legacy-save']) {
      expect(namespace.exec(program)).not.to.match(/hyper/i);
    }
    expect(listeningPorts(namespace)).to.deep.equal([]);
    await nic.handedOver();
  });

  const misfits: [what: string, make: (ns: TestNamespace) => void, words: string[]][] = [
    [
      'another kind of device',
      (ns) => ns.ip('link', 'add', 'hyper0', 'type', 'vxlan', 'id', '1', 'dstport', '4789'),
      ['expected a bridge', 'vxlan'],
    ],
    [
      "somebody else's bridge",
      (ns) => ns.ip('link', 'add', 'hyper0', 'type', 'bridge'),
      ['alias', 'one without an alias'],
    ],
    [
      'another address',
      (ns) => {
        ns.ip('link', 'add', 'hyper0', 'type', 'bridge');
        ns.ip('link', 'set', 'hyper0', 'alias', 'hyperplug network default');
        ns.ip('address', 'add', '10.0.0.1/8', 'dev', 'hyper0');
      },
      ['expected the address 192.168.123.1/24', 'got 10.0.0.1/8'],
    ],
  ];
  for (const [what, make, words] of misfits) {
    it(`${what} in the bridge's place is refused, told, and left as it is`, async () => {
      make(namespace);
      const before = namespace.ip('address', 'show', 'hyper0');
      const { backend } = await start();
      await rejects(backend.init([networkSpec()], callFor()), 'NET_INIT_FAILED', 'hyper0', ...words);
      expect(namespace.ip('address', 'show', 'hyper0')).to.equal(before);
      expect(savedRules(namespace)).to.deep.equal([]);
      // By its alias that one is ours.
      if (what === 'another address') return;
      await backend.teardown('default', callFor());
      expect(madeLinks(namespace)).to.deep.equal(['hyper0']);
    });
  }

  it("of several networks one whose bridge is somebody else's has no rules, whatever is done with the others", async () => {
    namespace.ip('link', 'add', 'hyper-x', 'type', 'bridge');
    const specs = [networkSpec(), networkSpec({ name: 'x', subnets: ['10.2.0.0/24'], isolated: true })];
    const firewall = new IptablesFirewall({ variant: 'auto', netns: namespace.path }, tools);
    const { backend } = await start(firewall);
    await rejects(backend.init(specs, callFor()), 'NET_INIT_FAILED', 'hyper-x', 'alias');
    const others = () => savedRules(namespace).filter((rule) => rule.includes('hyper-x'));
    expect(others()).to.deep.equal([]);
    await backend.configure(specs, [], callFor());
    await backend.repair('default', callFor());
    expect(savedRules(namespace)).to.not.deep.equal([]);
    expect(others()).to.deep.equal([]);
    await backend.teardown('default', callFor());
    expect(savedRules(namespace)).to.deep.equal([]);
  });

  it('a network that is not asked for is not made, and is in nobody’s way; isolated ones are apart, whoever makes which', async () => {
    namespace.ip('link', 'add', 'hyper-x', 'type', 'bridge');
    const specs = [
      networkSpec({ mtu: 1500 }),
      networkSpec({ name: 'x', subnets: ['10.2.0.0/24'], mtu: 1500 }),
      networkSpec({ name: 'lost', subnets: ['10.5.0.0/24'] }),
      networkSpec({ name: 'alone', subnets: ['10.3.0.0/24'], isolated: true, mtu: 1500 }),
      networkSpec({ name: 'wrong', subnets: ['10.4.0.0/24'], mtu: 1 }),
    ];
    // Whose MTU no network has that is made.
    const options = { uplink: 'gone0' };
    const [one, two] = [await start(undefined, options), await start(undefined, options)];
    await one.backend.init(specs, { ...callFor(), only: [] });
    expect([madeLinks(namespace), savedRules(namespace)]).to.deep.equal([['hyper-x'], []]);
    await Promise.all([
      one.backend.init(specs, { ...callFor(), only: ['default'] }),
      two.backend.init(specs, { ...callFor(), only: ['alone'] }),
    ]);
    expect(madeLinks(namespace)).to.have.members(['hyper-x', 'hyper0', 'hyper-alone']);
    const apart = savedRules(namespace).filter((rule) => /apart.*DROP/.test(rule));
    expect(apart, savedRules(namespace).join('\n')).to.have.lengthOf(2);
    const rules = savedRules(namespace);
    await rejects(one.backend.init(specs, { ...callFor(), only: ['x', 'default'] }), 'NET_INIT_FAILED', 'hyper-x');
    await rejects(one.backend.init(specs, { ...callFor(), only: ['lost'] }), 'NET_INIT_FAILED', 'gone0');
    await rejects(one.backend.init(specs, { ...callFor(), only: ['wrong'] }), 'NET_SPEC_INVALID', 'wrong.mtu');
    expect(savedRules(namespace)).to.deep.equal(rules);
    // What was planned goes by its old uplink, and can be told and taken away.
    expect((await two.backend.status(callFor())).map(({ name }) => name)).to.include.members(['default', 'alone']);
    for (const name of ['default', 'alone']) await two.backend.teardown(name, callFor());
    expect([madeLinks(namespace), savedRules(namespace)]).to.deep.equal([['hyper-x'], []]);
  });

  it('a network that the machine is in already is refused, and nothing of it is made', async () => {
    namespace.ip('link', 'add', 'up0', 'type', 'bridge');
    namespace.ip('address', 'add', '10.7.1.1/16', 'dev', 'up0');
    const { backend } = await start();
    for (const subnet of ['10.7.200.0/24', '10.0.0.0/8', '127.0.0.0/8']) {
      const spec = networkSpec({ subnets: [subnet] });
      await rejects(backend.init([spec], callFor()), 'NET_INIT_FAILED', 'network.networks.default.subnets', subnet);
    }
    expect(madeLinks(namespace)).to.deep.equal(['up0']);
    expect(savedRules(namespace)).to.deep.equal([]);
  });

  it('a half-made bridge of ours is finished', async () => {
    namespace.ip('link', 'add', 'hyper0', 'type', 'bridge');
    namespace.ip('link', 'set', 'hyper0', 'alias', 'hyperplug network default');
    await ready();
    const [seen] = namespace.json('address', 'show', 'hyper0');
    expect(seen.flags).to.include('UP');
    expect(seen.addr_info[0]).to.deep.include({ local: '192.168.123.1', prefixlen: 24 });
  });

  it("a bridge of the user's is used with the address it has, and outlives the network", async () => {
    namespace.ip('link', 'add', 'mine', 'mtu', '1400', 'type', 'bridge');
    namespace.ip('address', 'add', '192.168.123.254/24', 'dev', 'mine');
    const bench = await start(new NoFirewall(), { adoptBridges: ['mine'] });
    const spec = networkSpec({ bridge: 'mine' });
    await rejects(bench.backend.init([spec], callFor()), 'NET_INIT_FAILED', 'expected a bridge that is up');
    namespace.ip('link', 'set', 'mine', 'up');
    await bench.backend.init([spec], callFor());
    const lease = await bench.backend.allocateAddress(
      { network: 'default', podId: 'p', nicId: 'n', addresses: [] },
      callFor(),
    );
    expect(lease).to.deep.include({ gateways: ['192.168.123.254'], mtu: 1400 });
    const taken = { network: 'default', podId: 'q', nicId: 'n', addresses: ['192.168.123.254'] };
    await rejects(bench.backend.allocateAddress(taken, callFor()), 'IPAM_ADDRESS_RESERVED');
    await bench.backend.teardown('default', callFor());
    expect(madeLinks(namespace)).to.deep.equal(['mine']);
  });

  it('a /30 runs out with a clear error, and has room again after a release', async () => {
    const { backend } = await ready({ subnets: ['10.7.7.0/30'] });
    const request = (podId: string) => ({ network: 'default', podId, nicId: 'n', addresses: [] });
    const lease = await backend.allocateAddress(request('a'), callFor());
    expect(lease.addresses).to.deep.equal([{ address: '10.7.7.2', prefixLength: 30 }]);
    await rejects(backend.allocateAddress(request('b'), callFor()), 'IPAM_EXHAUSTED', '10.7.7.0/30');
    await backend.releaseAddress(lease, callFor());
    expect((await backend.allocateAddress(request('b'), callFor())).addresses[0]?.address).to.equal('10.7.7.2');
  });

  it('a lease gives back its own addresses, and not the others of its NIC', async () => {
    const { backend, pool } = await ready();
    const request = (addresses: string[]) => ({ network: 'default', podId: 'p', nicId: 'n', addresses });
    const first = await backend.allocateAddress(request(['192.168.123.5']), callFor());
    await backend.allocateAddress(request(['192.168.123.6']), callFor());
    await backend.releaseAddress(first, callFor());
    const again = { network: 'default', podId: 'q', nicId: 'n' };
    await rejects(backend.allocateAddress({ ...again, addresses: ['192.168.123.6'] }, callFor()), 'IPAM_ADDRESS_TAKEN');
    await backend.allocateAddress({ ...again, addresses: ['192.168.123.5'] }, callFor());
    await backend.releaseAddress({ ...first, addresses: [] }, callFor());
    await backend.allocateAddress({ ...again, addresses: ['192.168.123.6'] }, callFor());
    expect(pool.name).to.equal('local');
  });

  it('MTUs follow the uplink, NICs have theirs, and a smaller port does not lower the bridge', async () => {
    namespace.ip('link', 'add', 'up0', 'mtu', '8000', 'type', 'veth', 'peer', 'name', 'up1');
    namespace.ip('address', 'add', '198.51.100.1/24', 'dev', 'up0');
    namespace.ip('link', 'set', 'up0', 'up');
    namespace.ip('route', 'add', 'default', 'via', '198.51.100.2');
    const bench = await ready();
    const mtus = () => Object.fromEntries(namespace.json('link', 'show').map((link) => [link.ifname, link.mtu]));
    expect(mtus().hyper0).to.equal(8000);
    const small = await attach(bench, 'small', { mtu: 1300 });
    const large = await attach(bench, 'large');
    expect(mtus()).to.deep.include({ hyper0: 8000, [record(small).device]: 1300, [record(large).device]: 8000 });
    expect((await bench.backend.status(callFor()))[0]?.drift).to.deep.equal([]);
    await rejects(attach(bench, 'p', { mtu: 70_000 }), 'NET_KERNEL_REFUSED', 'mtu greater than device maximum');
    const own = namespace.json('address', 'show', 'dev', record(small).device)[0].addr_info;
    expect(own, 'a port has no address, not even a link-local one').to.deep.equal([]);
    for (const nic of [small, large]) await nic.handedOver();
    expect(madeLinks(namespace).sort()).to.deep.equal(['hyper0', 'up0', 'up1']);
    const named = await start(new NoFirewall(), { uplink: 'nowhere' });
    await rejects(named.backend.init([networkSpec()], callFor()), 'NET_INIT_FAILED', 'network.netlink.uplink');
  });

  it('forwarding is switched on for the families of the networks only, and IPv6 where it is off', async () => {
    const forwarding = () =>
      ['ipv4/ip_forward', 'ipv6/conf/all/forwarding'].map((key) => readNetSysctl(namespace.path, key));
    for (const key of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']) ensureNetSysctl(namespace.path, key, '0');
    ensureNetSysctl(namespace.path, 'ipv6/conf/default/disable_ipv6', '1');
    const { backend } = await ready();
    expect(forwarding()).to.deep.equal(['1', '0']);
    const six = networkSpec({ name: 'six', subnets: ['fd00:9::/64'] });
    await backend.init([networkSpec(), six], callFor());
    expect(forwarding()).to.deep.equal(['1', '1']);
    expect(namespace.ip('address', 'show', 'hyper-six')).to.include('fd00:9::1/64');
  });

  it('a bridge that was deleted is made again by repair, its ports and isolation with it', async () => {
    const bench = await ready(
      { isolated: true },
      new IptablesFirewall({ variant: 'auto', netns: namespace.path }, tools),
    );
    const nic = await attach(bench, 'p');
    namespace.ip('link', 'delete', 'hyper0');
    const [status] = await bench.backend.status(callFor());
    expect(status?.drift.join('\n')).to.include('expected it to be there');
    // As another process sees it, which is told of the networks alone.
    await bench.backend.configure([networkSpec({ isolated: true })], [], callFor());
    const [seenAnew] = await bench.backend.status(callFor());
    expect(seenAnew?.drift.join('\n')).to.include('left of a bridge that is gone').and.not.include('foreign');
    await rejects(attach(bench, 'q'), 'NET_INIT_FAILED', 'net repair');
    await bench.backend.repair('default', callFor());
    const [seen] = namespace.json('link', 'show', record(nic).device);
    expect(seen.master).to.equal('hyper0');
    expect(seen.linkinfo.info_slave_data.isolated).to.equal(true);
    expect((await bench.backend.status(callFor()))[0]?.drift).to.deep.equal([]);
    await nic.handedOver();
  });

  it('with repair: watch, what is taken away comes back by itself', async () => {
    const firewall = new IptablesFirewall({ variant: 'auto', netns: namespace.path }, tools);
    await ready({}, firewall, { repair: 'watch' });
    const rules = savedRules(namespace);
    namespace.ip('link', 'delete', 'hyper0');
    await eventually(async () => expect(madeLinks(namespace)).to.deep.equal(['hyper0']), 20_000);
    await eventually(
      async () => expect(namespace.ip('address', 'show', 'hyper0')).to.include('192.168.123.1/24'),
      20_000,
    );
    await eventually(async () => expect(savedRules(namespace)).to.deep.equal(rules), 20_000);
    if (!namespace.exec('iptables', '-V').includes('nf_tables')) return;
    namespace.exec('iptables', '-t', 'nat', '-F');
    await eventually(async () => expect(savedRules(namespace)).to.deep.equal(rules), 20_000);
  });

  it('isolated NICs send each other nothing, others do', async () => {
    for (const isolated of [false, true]) {
      const bench = await start(new NoFirewall());
      const spec = networkSpec({ name: `n${isolated}`, subnets: [isolated ? '10.1.0.0/24' : '10.2.0.0/24'], isolated });
      await bench.backend.init([spec], callFor());
      const taps = await Promise.all(
        ['a', 'b'].map(async (podId) => {
          const request = { network: spec.name, podId, nicId: 'n', addresses: [] };
          const lease = await bench.backend.allocateAddress(request, callFor());
          return attach(bench, podId, { lease, nicId: `n${isolated}` });
        }),
      );
      const [a, b] = taps.map(({ endpoint }) => (endpoint.kind === 'tap-fd' ? (endpoint.fds[0] ?? -1) : -1)) as [
        number,
        number,
      ];
      // IEEE 802 local experimental ethertype, to everybody, behind an empty virtio header.
      const frame = Buffer.concat([
        Buffer.alloc(12),
        Buffer.from('ffffffffffff02000000000188b5', 'hex'),
        Buffer.alloc(46, 7),
      ]);
      const received = () => {
        const buffer = Buffer.alloc(2048);
        try {
          for (;;) {
            const length = readSync(b, buffer, 0, buffer.length, null);
            if (buffer.subarray(12, length).equals(frame.subarray(12))) return true;
          }
        } catch {
          return false;
        }
      };
      let arrived = false;
      for (let tries = 0; tries < 20 && !arrived; tries++) {
        writeSync(a, frame);
        await new Promise((resolve) => setTimeout(resolve, 20));
        arrived = received();
      }
      expect(arrived, `isolated: ${isolated}`).to.equal(!isolated);
      for (const nic of taps) await bench.backend.detach(nic.record, callFor());
    }
  });

  it('ports of NICs that come and go together are one change of the rules each; one that is refused is no other NIC’s affair', async () => {
    const bench = await ready({}, new IptablesFirewall({ variant: 'nft', netns: namespace.path }, tools));
    const { commit } = NftSocket.prototype;
    let commits = 0;
    NftSocket.prototype.commit = function (...args) {
      commits++;
      return commit.apply(this, args);
    };
    try {
      const port = (hostPort: number): PortMapping => {
        return { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort, guestPort: 80, count: 1 };
      };
      // While somebody else is at the rules, they gather.
      const lock = await acquireLock(`${directory}/locks/network.lock`, callFor());
      const attaching = Promise.all([1, 2, 3, 4].map((n) => attach(bench, `p${n}`, { ports: [port(8000 + n)] })));
      await eventually(async () => expect(madeLinks(namespace)).to.have.length(5), 20_000);
      await sleep(100);
      await lock.release({ remove: true });
      const some = await attaching;
      expect(commits, 'four NICs').to.equal(1);
      const both = await Promise.allSettled([8005, 8001].map((n) => attach(bench, `q${n}`, { ports: [port(n)] })));
      expect(both.map(({ status }) => status)).to.deep.equal(['fulfilled', 'rejected']);
      expect(String((both[1] as PromiseRejectedResult).reason.message))
        .to.include('8001')
        .and.include('pod p1');
      const published = await bench.firewall.published(callFor());
      expect(published.map(({ mapping }) => mapping.hostPort).sort()).to.deep.equal([8001, 8002, 8003, 8004, 8005]);
      commits = 0;
      await Promise.all(some.map((nic, n) => bench.backend.unpublish(nic.record, [port(8001 + n)], callFor())));
      expect(commits, 'withdrawn').to.equal(1);
      for (const nic of some) await nic.handedOver();
      for (const each of both) if (each.status === 'fulfilled') await each.value.handedOver();
    } finally {
      NftSocket.prototype.commit = commit;
    }
  });

  it('host ports are held against other programs, until the NIC goes', async () => {
    const bench = await ready({}, new IptablesFirewall({ variant: 'auto', netns: namespace.path }, tools));
    const ports = (hostPort: number, count = 1) =>
      [{ protocol: 'tcp', hostAddress: '0.0.0.0', hostPort, guestPort: 80, count }] as const;
    const nic = await attach(bench, 'p', { ports: ports(8080, 3) });
    expect(listeningPorts(namespace).sort()).to.deep.equal([8080, 8081, 8082]);
    await rejects(attach(bench, 'q', { ports: ports(8082) }), 'NET_PORT_IN_USE', '8082', 'pod p');
    const held = await holdPortIn(namespace, 9001);
    await rejects(attach(bench, 'q', { ports: ports(9000, 3) }), 'NET_PORT_IN_USE', '9001', 'another program');
    await held.close();
    await nic.handedOver();
    const rules = savedRules(namespace).filter((line) => line.includes('port '));
    expect(rules).to.have.length(2);
    await bench.backend.detach(nic.record, callFor());
    expect(listeningPorts(namespace)).to.deep.equal([]);
    expect(savedRules(namespace).filter((line) => line.includes(' port '))).to.deep.equal([]);
  });

  it('1023 NICs fit on a bridge; the next is NET_FULL and leaves nothing', async () => {
    const bench = await ready({ subnets: ['10.3.0.0/16'] });
    // Ports of no pod take no time to make, and as much room.
    const lines = Array.from(
      { length: 1022 },
      (_, i) => `link add d${i} master hyper0 type vxlan id ${i + 1} dstport 4789`,
    ).join('\n');
    const { spawnSync } = await import('node:child_process');
    const made = spawnSync('ip', ['-n', namespace.name, '-batch', '-'], {
      input: lines,
      encoding: 'utf8',
      timeout: 100_000,
    });
    expect(made.status, made.stderr).to.equal(0);
    const last = await attach(bench, 'last');
    const descriptors = openDescriptors();
    await rejects(attach(bench, 'more'), 'NET_FULL', 'hyper0');
    expect(openDescriptors()).to.equal(descriptors);
    expect(madeLinks(namespace)).to.have.length(1024);
    await last.handedOver();
    const more = await attach(bench, 'more');
    await more.handedOver();
  });

  it('many taps go at once', async () => {
    const bench = await ready();
    const nics = await Promise.all(Array.from({ length: 12 }, (_, i) => attach(bench, `p${i}`)));
    // As a VM holds them: a detach from elsewhere finds them still open.
    const other = await start(new NoFirewall());
    await other.backend.init([networkSpec()], callFor());
    await Promise.all(nics.map(({ record: nic }) => other.backend.detach(nic, callFor())));
    expect(madeLinks(namespace)).to.deep.equal(['hyper0']);
    for (const nic of nics) await nic.handedOver();
  });

  it('a NIC whose attach() never answered is removed by what is known of it', async () => {
    const bench = await ready();
    const nic = await attach(bench, 'p');
    const other = await start(new NoFirewall());
    await other.backend.configure([networkSpec()], [], callFor());
    await other.backend.detach({ ...nic.record, data: null }, callFor());
    expect(madeLinks(namespace)).to.deep.equal(['hyper0']);
    await nic.handedOver();
  });

  it('a firewall in another network namespace is refused, by its field; one by another name of the same is not', async () => {
    const rulesElsewhere = new IptablesFirewall({ variant: 'auto', netns: undefined }, tools);
    await rejects(start(rulesElsewhere), 'CONFIG_INVALID', 'firewall.iptables.netns');
    const alias = `${directory}/netns`;
    symlinkSync(namespace.path, alias);
    const bench = await start(new IptablesFirewall({ variant: 'auto', netns: alias }, tools));
    await bench.backend.init([networkSpec()], callFor());
  });

  it('ports of a pod whose manager has ended are refused to another, by its rules, with its name', async () => {
    const mapping = { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80, count: 3 } as const;
    const iptables = () => new IptablesFirewall({ variant: 'auto', netns: namespace.path }, tools);
    const first = await ready({}, iptables());
    const nic = await attach(first, 'kept', { ports: [mapping] });
    await first.backend.stop();
    await nic.handedOver();
    expect(listeningPorts(namespace)).to.deep.equal([]);
    const second = await ready({}, iptables());
    const wanted = { ...mapping, hostPort: 8082, count: 1 };
    const error = await attach(second, 'next', { ports: [wanted] }).catch((reason: unknown) => reason);
    expect(hasCode(error, 'NET_PORT_IN_USE')).to.equal(true);
    expect((error as Error).message).to.include('kept');
    expect(listeningPorts(namespace)).to.deep.equal([]);
    expect(madeLinks(namespace)).to.deep.equal(['hyper0']);
    await second.backend.detach(nic.record, callFor());
    const after = await attach(second, 'next', { ports: [wanted] });
    await second.backend.detach(after.record, callFor());
    await after.handedOver();
  });

  it('a bridge that is made anew turns packets for published ports round as the one before', async () => {
    const bench = await start(new IptablesFirewall({ variant: 'auto', netns: namespace.path }, tools));
    await bench.backend.init([networkSpec()], callFor());
    const key = '/proc/sys/net/bridge/bridge-nf-call-iptables';
    // Without it the host itself turns them round.
    const filtered = existsSync(key);
    if (filtered) ensureNetSysctl(namespace.path, 'bridge/bridge-nf-call-iptables', '1');
    const ports = [{ protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80, count: 1 }] as const;
    const nics = [await attach(bench, 'with', { ports }), await attach(bench, 'without')];
    const hairpins = () =>
      nics.map((nic) => {
        const [link] = namespace.json('link', 'show', record(nic).device);
        return link.linkinfo.info_slave_data?.hairpin;
      });
    expect(hairpins()).to.deep.equal([filtered, false]);
    namespace.ip('link', 'delete', 'hyper0');
    await bench.backend.repair('default', callFor());
    expect(hairpins()).to.deep.equal([filtered, false]);
    for (const nic of nics) {
      await bench.backend.detach(nic.record, callFor());
      await nic.handedOver();
    }
  });

  it("a tap of the user's is used as it is, and left", async () => {
    namespace.ip('tuntap', 'add', 'mytap', 'mode', 'tap', 'vnet_hdr');
    const bench = await ready();
    const nic = await attach(bench, 'p', { tap: 'mytap' });
    expect(nic.endpoint.kind).to.equal('tap-fd');
    await rejects(
      attach(bench, 'q', { tap: 'mytap' }),
      'NET_SPEC_INVALID',
      'tap: expected a tap that nobody has open',
      'mytap',
    );
    namespace.ip('tuntap', 'add', 'mytun', 'mode', 'tun');
    await rejects(attach(bench, 'q', { tap: 'mytun' }), 'NET_SPEC_INVALID', 'a tun device', 'mytun');
    await bench.backend.detach(nic.record, callFor());
    await nic.handedOver();
    expect(madeLinks(namespace)).to.include('mytap');
    await rejects(attach(bench, 'q', { tap: 'nowhere' }), 'NET_SPEC_INVALID', 'nowhere');
    for (const fd of openTap('mytap', 1, namespace.path, { existing: { multiQueue: false } }).fds) closeSync(fd);
  });

  it("a tap of the user's has the queues that its owner gave it", async () => {
    namespace.ip('tuntap', 'add', 'tap-one', 'mode', 'tap', 'vnet_hdr');
    namespace.ip('tuntap', 'add', 'tap-many', 'mode', 'tap', 'vnet_hdr', 'multi_queue');
    const bench = await ready();
    for (const [tap, queues, fds] of [
      ['tap-one', 3, 1],
      ['tap-many', 3, 3],
      ['tap-many', 1, 1],
    ] as const) {
      const nic = await attach(bench, `p-${tap}`, { tap, queues });
      expect(nic.endpoint).to.have.property('fds').with.lengthOf(fds);
      // The kernel itself would let another VM have some of the packets.
      await rejects(attach(bench, 'q', { tap, queues }), 'NET_SPEC_INVALID', 'nobody has open', tap);
      await bench.backend.detach(nic.record, callFor());
      await nic.handedOver();
    }
  });

  it('macvtap: NICs on a parent interface, with the MAC of the guest, no bridge and no rules', async () => {
    namespace.ip('link', 'add', 'up0', 'mtu', '1450', 'type', 'veth', 'peer', 'name', 'up1');
    const attachOption: Partial<NetlinkOptions> = {
      attach: { default: { kind: 'macvtap', parent: 'up0', mode: 'private', gateways: [] } },
    };
    const bench = await start(new IptablesFirewall({ variant: 'auto', netns: namespace.path }, tools), attachOption);
    const spec = networkSpec({ subnets: ['198.51.100.0/24'] });
    await rejects(bench.backend.init([spec], callFor()), 'NET_INIT_FAILED', 'up0', 'down');
    for (const name of ['up0', 'up1']) namespace.ip('link', 'set', name, 'up');
    await bench.backend.init([spec], callFor());
    expect(savedRules(namespace)).to.deep.equal([]);
    const nic = await attach(bench, 'p', { queues: 2, mac: '02:00:00:00:00:07' });
    const [seen] = namespace.json('link', 'show', record(nic).device);
    expect(seen).to.deep.include({ address: '02:00:00:00:00:07', mtu: 1450, ifalias: 'hyperplug pod p nic n' });
    expect(seen.linkinfo).to.deep.include({ info_kind: 'macvtap' });
    expect(seen.linkinfo.info_data.mode).to.equal('private');
    expect(nic.endpoint.kind === 'tap-fd' && nic.endpoint.fds).to.have.length(2);
    const ports = [{ protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80, count: 1 }] as const;
    await rejects(attach(bench, 'q', { ports }), 'NOT_SUPPORTED', 'macvtap');
    await nic.handedOver();
    await bench.backend.detach(nic.record, callFor());
    await bench.backend.detach(nic.record, callFor());
    await bench.backend.teardown('default', callFor());
    expect(madeLinks(namespace).sort()).to.deep.equal(['up0', 'up1']);
  });
});
