import { closeSync, readdirSync } from 'node:fs';
import { expect } from 'chai';
import { Rtnl } from '../../../src/plugins/netlink/rtnl.js';
import { openTap } from '../../../src/plugins/netlink/tap.js';
import { TestNamespace } from '../../support/netns.js';
import { requireOrSkip } from '../../support/require.js';

/** Of the whole file, in a process that runs other files before it. */
const options = { signal: AbortSignal.timeout(60 * 60_000) };

describe('rtnetlink', () => {
  let namespace: TestNamespace;
  let rtnl: Rtnl;
  const fds = () => readdirSync('/proc/self/fd').length;
  let fdsBefore: number;

  before(function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
  });
  beforeEach(() => {
    fdsBefore = fds();
    namespace = new TestNamespace();
    rtnl = new Rtnl(namespace.path);
  });
  afterEach(async () => {
    await rtnl?.close();
    namespace?.delete();
    expect(fds(), 'open descriptors').to.equal(fdsBefore);
  });

  const index = async (name: string) => (await rtnl.link(name, options))?.index ?? expect.fail(`no link ${name}`);

  it('makes a bridge as ip(8) sees it, and gives it addresses of both families', async () => {
    await rtnl.createLink(
      'bridge',
      'br0',
      { mtu: 1400, alias: 'ours', mac: '02:00:00:00:00:01', up: true },
      { forwardDelay: 0 },
      options,
    );
    const bridge = await index('br0');
    await rtnl.addAddress(bridge, { address: '192.168.123.1', prefixLength: 24 }, options);
    await rtnl.addAddress(bridge, { address: 'fd00:1::1', prefixLength: 64 }, options);
    const [seen] = namespace.json('addr', 'show', 'br0');
    expect(seen).to.deep.include({ ifname: 'br0', mtu: 1400, ifalias: 'ours', address: '02:00:00:00:00:01' });
    expect(seen.flags).to.include('UP');
    expect(seen.linkinfo.info_kind).to.equal('bridge');
    expect(seen.linkinfo.info_data.forward_delay).to.equal(0);
    const addresses = seen.addr_info.map(
      (entry: { local: string; prefixlen: number }) => `${entry.local}/${entry.prefixlen}`,
    );
    expect(addresses).to.include.members(['192.168.123.1/24', 'fd00:1::1/64']);
    expect(await rtnl.addresses(bridge, options)).to.deep.include.members([
      { address: '192.168.123.1', prefixLength: 24 },
      { address: 'fd00:1::1', prefixLength: 64 },
    ]);
    expect(await rtnl.deleteAddress(bridge, { address: 'fd00:1::1', prefixLength: 64 }, options)).to.equal(true);
    expect(await rtnl.deleteAddress(bridge, { address: 'fd00:1::1', prefixLength: 64 }, options)).to.equal(false);
    expect(namespace.ip('addr', 'show', 'br0')).not.to.include('fd00:1::1');
  });

  it("passes on errno and the kernel's own words", async () => {
    await rtnl.createLink('bridge', 'br0', {}, undefined, options);
    const twice = await rtnl.createLink('bridge', 'br0', {}, undefined, options).catch((error) => error);
    expect(twice).to.deep.include({ code: 'NET_KERNEL_REFUSED' });
    expect(twice.details.errno).to.equal('EEXIST');
    const mtu = await rtnl.changeLink(await index('br0'), { mtu: 70_000 }, options).catch((error) => error);
    expect(mtu.details).to.deep.include({ errno: 'EINVAL', reason: 'mtu greater than device maximum' });
    expect(await rtnl.link('nowhere', options)).to.equal(undefined);
  });

  it('changes the MTU without taking the link down', async () => {
    await rtnl.createVeth('a', { name: 'b' }, options);
    const a = await index('a');
    await rtnl.changeLink(a, { up: true }, options);
    await rtnl.changeLink(await index('b'), { up: true }, options);
    await rtnl.addAddress(a, { address: '10.9.0.1', prefixLength: 24 }, options);
    namespace.ip('route', 'add', 'default', 'via', '10.9.0.2');
    await rtnl.changeLink(a, { mtu: 1300 }, options);
    expect(namespace.json('link', 'show', 'a')[0]).to.deep.include({ mtu: 1300 });
    expect(namespace.ip('route')).to.include('default via 10.9.0.2');
    const routes = await rtnl.routes(2, options);
    expect(routes.find((route) => route.gateway === '10.9.0.2')).to.deep.include({
      destination: undefined,
      linkIndex: a,
    });
  });

  it('opens a tap that lives as long as its descriptor, and enslaves it in one message', async () => {
    await rtnl.createLink('bridge', 'br0', { up: true }, undefined, options);
    const tap = openTap('hp-t0', 1, namespace.path);
    try {
      await rtnl.changeLink(
        await index('hp-t0'),
        { master: await index('br0'), mtu: 1450, up: true, alias: 'pod/nic' },
        options,
      );
      const [seen] = namespace.json('link', 'show', 'hp-t0');
      expect(seen).to.deep.include({ master: 'br0', mtu: 1450, ifalias: 'pod/nic' });
      expect(seen.linkinfo.info_data).to.deep.include({ type: 'tap', vnet_hdr: true, persist: false });
      expect(() => openTap('hp-t0', 1, namespace.path))
        .to.throw()
        .with.property('code', 'NET_KERNEL_REFUSED');
      await rtnl.changePort(await index('hp-t0'), { isolated: true }, options);
      expect(namespace.json('link', 'show', 'hp-t0')[0].linkinfo.info_slave_data.isolated).to.equal(true);
    } finally {
      for (const fd of tap.fds) closeSync(fd);
    }
    expect(namespace.links()).not.to.include('hp-t0');
  });

  it('opens a tap of several queues', () => {
    const tap = openTap('hp-t1', 3, namespace.path);
    try {
      expect(tap.fds).to.have.length(3);
      expect(namespace.json('link', 'show', 'hp-t1')[0].linkinfo.info_data).to.deep.include({
        multi_queue: true,
        numqueues: 3,
      });
    } finally {
      for (const fd of tap.fds) closeSync(fd);
    }
  });

  it('lists links as ip(8) does, and deletes a group of them at once', async () => {
    for (let i = 0; i < 20; i++) await rtnl.createLink('bridge', `g${i}`, { group: 4711 }, undefined, options);
    const links = await rtnl.links(options);
    expect(links.map((link) => link.name).sort()).to.deep.equal(namespace.links().sort());
    expect(links.filter((link) => link.group === 4711)).to.have.length(20);
    expect(await rtnl.deleteGroup(4711, options)).to.equal(true);
    expect(await rtnl.deleteGroup(4711, options)).to.equal(false);
    expect(namespace.links()).to.deep.equal(['lo']);
  });

  it('answers each of many requests that are made at once', async () => {
    await Promise.all(Array.from({ length: 50 }, (_, i) => rtnl.createLink('bridge', `c${i}`, {}, undefined, options)));
    const found = await Promise.all(Array.from({ length: 50 }, (_, i) => rtnl.link(`c${i}`, options)));
    expect(found.map((link) => link?.name)).to.deep.equal(Array.from({ length: 50 }, (_, i) => `c${i}`));
  });

  it('does nothing for a call that was aborted before', async () => {
    const error = await rtnl
      .createLink('bridge', 'br0', {}, undefined, { signal: AbortSignal.abort() })
      .catch((e) => e);
    expect(error.code).to.equal('ABORTED');
    expect(namespace.links()).to.deep.equal(['lo']);
  });
});
