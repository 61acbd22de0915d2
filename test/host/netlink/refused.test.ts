import { symlinkSync } from 'node:fs';
import { expect } from 'chai';
import { IptablesFirewall } from '../../../src/plugins/iptables/firewall.js';
import { callFor, madeLinks, networkSpec, savedRules, tools } from '../../support/netlink-backend.js';
import { netlinkFixture } from '../../support/netlink-fixture.js';
import type { TestNamespace } from '../../support/netns.js';
import { rejects } from '../../support/rejects.js';

describe('netlink: networks that are not made', function () {
  this.timeout(120_000);
  const fixture = netlinkFixture();
  const { start } = fixture;
  let namespace: TestNamespace;
  let directory: string;
  beforeEach(() => {
    ({ namespace, directory } = fixture);
  });

  const misfits: [what: string, make: (ns: TestNamespace) => void, words: string[]][] = [
    [
      'another kind of device',
      (ns) => ns.ip('link', 'add', 'hyper0', 'type', 'vxlan', 'id', '1', 'dstport', '4789'),
      ['expected a bridge', 'vxlan'],
    ],
    [
      "somebody else's bridge",
      (ns) => ns.ip('link', 'add', 'hyper0', 'mtu', '1400', 'type', 'bridge'),
      [
        'one without an alias',
        'expected the address 192.168.123.1/24, got none of its family',
        'expected a bridge that is up',
        'expected MTU 1500, got 1400',
        'network.netlink.adoptBridges',
      ],
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
    const firewall = fixture.iptables();
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

  it('a firewall in another network namespace is refused, by its field; one by another name of the same is not', async () => {
    const rulesElsewhere = new IptablesFirewall({ variant: 'auto', netns: undefined }, tools);
    await rejects(start(rulesElsewhere), 'CONFIG_INVALID', 'firewall.iptables.netns');
    const alias = `${directory}/netns`;
    symlinkSync(namespace.path, alias);
    const bench = await start(new IptablesFirewall({ variant: 'auto', netns: alias }, tools));
    await bench.backend.init([networkSpec()], callFor());
  });

  it('a network whose subnet was changed is refused, and the rules of what it was stay, whatever is done with others', async () => {
    const specs = (subnet: string) => [
      networkSpec({ subnets: [subnet], mtu: 1500 }),
      networkSpec({ name: 'x', subnets: ['10.2.0.0/24'], isolated: true, mtu: 1500 }),
    ];
    const { backend } = await start();
    await backend.init(specs('192.168.123.0/24'), callFor());
    const rules = savedRules(namespace);
    const { backend: later } = await start();
    const changed = specs('10.9.0.0/24');
    const told = ['expected the address 10.9.0.1/24', 'got 192.168.123.1/24'];
    await rejects(later.init(changed, callFor()), 'NET_INIT_FAILED', ...told);
    await later.configure(changed, [], callFor());
    await rejects(later.repair('default', callFor()), 'NET_INIT_FAILED', ...told);
    await rejects(later.repair(undefined, callFor()), 'NET_INIT_FAILED', ...told);
    await later.repair('x', callFor());
    expect(savedRules(namespace)).to.deep.equal(rules);
    expect((await later.status(callFor())).map(({ drift }) => drift)).to.deep.equal([
      ['bridge hyper0: expected the address 10.9.0.1/24, got 192.168.123.1/24'],
      [],
    ]);
    await later.teardown('x', callFor());
    await later.init(changed.slice(1), callFor());
    await later.configure(changed, [], callFor());
    await later.teardown('default', callFor());
    await later.teardown('x', callFor());
    expect([...madeLinks(namespace), ...savedRules(namespace)]).to.deep.equal([]);
  });
});
