import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { HostNic } from '../../../src/core/network.js';
import type { ToolProvider } from '../../../src/host/tools.js';
import { IptablesFirewall } from '../../../src/plugins/iptables/firewall.js';
import { ensureNetSysctl, readNetSysctl } from '../../../src/plugins/netlink/sysctl.js';
import { NoFirewall } from '../../../src/plugins/none-firewall/index.js';
import { eventually } from '../../support/eventually.js';
import { callFor, listeningPorts, madeLinks, networkSpec, savedRules, tools } from '../../support/netlink-backend.js';
import { netlinkFixture } from '../../support/netlink-fixture.js';
import type { TestNamespace } from '../../support/netns.js';
import { rejects } from '../../support/rejects.js';

const INIT = fileURLToPath(new URL('../../support/netlink-init.js', import.meta.url));

describe('netlink backend', function () {
  this.timeout(120_000);
  const fixture = netlinkFixture();
  const { start, ready, attach } = fixture;
  let namespace: TestNamespace;
  let directory: string;
  beforeEach(() => {
    ({ namespace, directory } = fixture);
  });
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
    const { backend } = await ready({}, fixture.iptables());
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

  it('a router that announces itself on a bridge is not believed by the host', async () => {
    const believes = (bridge: string) => readNetSysctl(namespace.path, `ipv6/conf/${bridge}/accept_ra`);
    namespace.ip('link', 'add', 'mine', 'type', 'bridge');
    namespace.ip('address', 'add', '10.8.0.1/24', 'dev', 'mine');
    namespace.ip('link', 'set', 'mine', 'up');
    const { backend } = await start(new NoFirewall(), { adoptBridges: ['mine'] });
    const specs = [networkSpec(), networkSpec({ name: 'm', bridge: 'mine', subnets: ['10.8.0.0/24'] })];
    await backend.init(specs, callFor());
    expect(believes('hyper0')).to.equal('0');
    expect(believes('mine'), 'a bridge of the user’s').to.equal('1');
    ensureNetSysctl(namespace.path, 'ipv6/conf/hyper0/accept_ra', '1');
    const drift = async () => (await backend.status(callFor())).flatMap((status) => status.drift);
    expect(await drift()).to.deep.equal(['sysctl net/ipv6/conf/hyper0/accept_ra: expected 0']);
    await backend.repair('default', callFor());
    expect(await drift()).to.deep.equal([]);
  });

  it('a bridge that was deleted is made again by repair, its ports and isolation with it', async () => {
    const bench = await ready({ isolated: true }, fixture.iptables());
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
    const firewall = fixture.iptables();
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
});
