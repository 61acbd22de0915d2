import { existsSync } from 'node:fs';
import { expect } from 'chai';
import type { CallOptions } from '../../../src/core/calls.js';
import { hasCode } from '../../../src/core/errors.js';
import type { HostNic, PortMapping } from '../../../src/core/network.js';
import { acquireLock } from '../../../src/host/lock.js';
import { IptablesFirewall } from '../../../src/plugins/iptables/firewall.js';
import { NftSocket } from '../../../src/plugins/iptables/nft/socket.js';
import { type Batch, NetworkTurns } from '../../../src/plugins/netlink/network-turns.js';
import { ensureNetSysctl } from '../../../src/plugins/netlink/sysctl.js';
import { eventually } from '../../support/eventually.js';
import {
  callFor,
  holdPortIn,
  listeningPorts,
  madeLinks,
  networkSpec,
  savedRules,
  tools,
} from '../../support/netlink-backend.js';
import { netlinkFixture } from '../../support/netlink-fixture.js';
import type { TestNamespace } from '../../support/netns.js';
import { rejects } from '../../support/rejects.js';

type TogetherArgs<I, O> = [purpose: string, call: CallOptions, batch: Batch<I, O>, input: I];

describe('netlink: published ports', function () {
  this.timeout(120_000);
  const fixture = netlinkFixture();
  const { start, ready, attach } = fixture;
  let namespace: TestNamespace;
  let directory: string;
  beforeEach(() => {
    ({ namespace, directory } = fixture);
  });
  const record = (nic: HostNic) => nic.record.data as { device: string; bridge: string; alias: string };

  it('ports of NICs that come and go together are one change of the rules each; one that is refused is no other NIC’s affair', async () => {
    const bench = await ready({}, new IptablesFirewall({ variant: 'nft', netns: namespace.path }, tools));
    const { commit } = NftSocket.prototype;
    const { together } = NetworkTurns.prototype;
    let commits = 0;
    let waiting = 0;
    NetworkTurns.prototype.together = function <I, O>(this: NetworkTurns, ...args: TogetherArgs<I, O>): Promise<O> {
      waiting++;
      return (together<I, O>).apply(this, args);
    };
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
      await eventually(async () => expect(waiting).to.equal(4), 20_000);
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
      NetworkTurns.prototype.together = together;
    }
  });

  it('host ports are held against other programs, until the NIC goes', async () => {
    const bench = await ready({}, fixture.iptables());
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

  it('ports of a pod whose manager has ended are refused to another, by its rules, with its name', async () => {
    const mapping = { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80, count: 3 } as const;
    const iptables = () => fixture.iptables();
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
    const bench = await start(fixture.iptables());
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
});
