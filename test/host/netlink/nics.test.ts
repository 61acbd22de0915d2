import { closeSync, readSync, writeSync } from 'node:fs';
import { expect } from 'chai';
import type { HostNic } from '../../../src/core/network.js';
import type { NetlinkOptions } from '../../../src/plugins/netlink/options.js';
import { openTap } from '../../../src/plugins/netlink/tap.js';
import { NoFirewall } from '../../../src/plugins/none-firewall/index.js';
import { callFor, madeLinks, networkSpec, openDescriptors, savedRules } from '../../support/netlink-backend.js';
import { netlinkFixture } from '../../support/netlink-fixture.js';
import type { TestNamespace } from '../../support/netns.js';
import { rejects } from '../../support/rejects.js';

describe('netlink: NICs', function () {
  this.timeout(120_000);
  const fixture = netlinkFixture();
  const { start, ready, attach } = fixture;
  let namespace: TestNamespace;
  beforeEach(() => {
    ({ namespace } = fixture);
  });
  const record = (nic: HostNic) => nic.record.data as { device: string; bridge: string; alias: string };

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
    const bench = await start(fixture.iptables(), attachOption);
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
