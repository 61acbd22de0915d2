import { expect } from 'chai';
import type { NetworkSpec } from '../../../../src/core/network.js';
import { PLUGIN_KINDS, type PluginKind } from '../../../../src/core/plugin.js';
import { checkKeep, checkSelection, chooseEndpoint } from '../../../../src/core/registry/check-selection.js';
import { PluginRegistry } from '../../../../src/core/registry/registry.js';
import { CAPABILITIES, FAKE_CHOICE, fakePlugin } from '../../../support/fake-plugins.js';
import { throws } from '../../../support/rejects.js';

type Changes = Partial<Record<PluginKind, Record<string, unknown>>>;

const selected = (changes: Changes = {}) =>
  new PluginRegistry(
    PLUGIN_KINDS.map((kind) => ({ ...fakePlugin(kind), capabilities: { ...CAPABILITIES[kind], ...changes[kind] } })),
  ).select(FAKE_CHOICE);

const net = (fields: Partial<NetworkSpec> = {}): NetworkSpec => ({
  name: 'default',
  subnets: ['10.0.0.0/24'],
  mtu: null,
  isolated: false,
  dns: [],
  ...fields,
});

/** A backend that makes host devices, and a firewall that works. */
const BRIDGED: Changes = {
  network: { hypervisorNetwork: false, endpoints: ['tap-fd'], families: [4, 6] },
  firewall: { enforces: true, isolation: true },
};
const bridged = (changes: Changes): Changes => ({
  network: { ...BRIDGED.network, ...changes.network },
  firewall: { ...BRIDGED.firewall, ...changes.firewall },
  ...('address-pool' in changes ? { 'address-pool': changes['address-pool'] } : {}),
});

describe('checkSelection', () => {
  it('accepts plugins that fit', () => {
    checkSelection(selected(), [net()], { cpus: 8, memoryMib: 8192, nicSlots: 8 });
    checkSelection(selected(), [net({ isolated: true })]);
    checkSelection(selected(BRIDGED), [net({ isolated: true, subnets: ['10.0.0.0/8', 'fd00::/64'] })]);
  });

  it("asks nothing of firewall and pool where the network is the hypervisor's own", () => {
    const own = selected({
      network: { families: [4, 6] },
      firewall: { enforces: true, families: [4] },
      'address-pool': { families: [4] },
    });
    checkSelection(own, [net({ subnets: ['fd00::/48'], isolated: true })]);
  });

  const pods = { cpus: 1, memoryMib: 128, nicSlots: 1 };
  const wrong: readonly [string, Changes, NetworkSpec[], typeof pods, string, string, ...string[]][] = [
    [
      'no common endpoint',
      { network: { endpoints: ['seqpacket'] } },
      [net()],
      pods,
      'network',
      'capabilities.endpoints',
      'tap-fd, builtin',
      '["seqpacket"]',
    ],
    [
      "no network of the hypervisor's own",
      { hypervisor: { builtinNetwork: false } },
      [net()],
      pods,
      'hypervisor',
      'capabilities.builtinNetwork',
      'got false',
    ],
    [
      'no way to have a NIC',
      { hypervisor: { coldplugNic: false } },
      [net()],
      pods,
      'hypervisor',
      'capabilities.coldplugNic',
    ],
    ['channels of one name', { agent: { channels: ['a', 'a'] } }, [net()], pods, 'agent', 'capabilities.channels'],
    [
      'several networks',
      {},
      [net(), net({ name: 'b' })],
      pods,
      'network',
      'capabilities.multipleNetworks',
      'default, b',
    ],
    [
      'a family',
      {},
      [net({ subnets: ['fd00::/64'] })],
      pods,
      'network',
      'capabilities.families',
      'network.networks.default.subnets',
      'got [4]',
    ],
    ['an MTU', {}, [net({ mtu: 9000 })], pods, 'network', 'capabilities.mtu', '9000', '{"min":1280,"max":1500}'],
    [
      'isolation',
      { network: { isolation: false } },
      [net({ isolated: true })],
      pods,
      'network',
      'capabilities.isolation',
    ],
    [
      'a firewall for isolation',
      bridged({ firewall: { enforces: false } }),
      [net({ isolated: true })],
      pods,
      'firewall',
      'capabilities.enforces',
    ],
    [
      'a firewall for allow lists',
      bridged({ firewall: { enforces: false } }),
      [net({ allow: { internal: ['10.1.0.0/16'], external: [] } })],
      pods,
      'firewall',
      'capabilities.enforces',
      'allow',
    ],
    [
      'a network with rules of ours for allow lists',
      {},
      [net({ allow: { internal: [], external: ['10.1.0.0/16'] } })],
      pods,
      'network',
      'capabilities.hypervisorNetwork',
      'allow',
    ],
    [
      'isolation in the firewall',
      bridged({ firewall: { isolation: false } }),
      [net({ isolated: true })],
      pods,
      'firewall',
      'capabilities.isolation',
    ],
    [
      'a family in the firewall',
      bridged({ firewall: { families: [4] } }),
      [net({ subnets: ['fd00::/64'] })],
      pods,
      'firewall',
      'capabilities.families',
    ],
    [
      'a family in the pool',
      bridged({ 'address-pool': { families: [4] } }),
      [net({ subnets: ['fd00::/64'] })],
      pods,
      'address-pool',
      'capabilities.families',
    ],
    [
      'a pool as large',
      bridged({}),
      [net({ subnets: ['fd00::/48'] })],
      pods,
      'address-pool',
      'capabilities.shortestPrefix.6',
      'got 64',
    ],
    ['CPUs', {}, [net()], { ...pods, cpus: 9 }, 'hypervisor', 'capabilities.maxCpus', 'pods.cpus', 'got 8'],
    ['memory', {}, [net()], { ...pods, memoryMib: 8193 }, 'hypervisor', 'capabilities.maxMemoryMib', 'pods.memoryMib'],
    ['NIC slots', {}, [net()], { ...pods, nicSlots: 9 }, 'hypervisor', 'capabilities.maxNics', 'pods.nicSlots'],
  ];
  for (const [title, changes, networks, needs, kind, field, ...parts] of wrong) {
    it(`refuses a lack of: ${title}`, () => {
      const check = () => checkSelection(selected(changes), networks, needs);
      const error = throws(
        check,
        'PLUGIN_CAPABILITY_MISSING',
        `${kind} plugin fake (built in): ${field}: expected`,
        ...parts,
      );
      expect(error.errors, 'nothing else').to.deep.equal([]);
      expect(error.details).to.include({ plugin: 'fake', kind, field });
    });
  }

  it('tells all that is missing', () => {
    const error = throws(
      () => checkSelection(selected({ network: { isolation: false } }), [net({ isolated: true, mtu: 1 })]),
      'PLUGIN_CAPABILITY_MISSING',
    );
    expect(error.errors).to.have.length(2);
  });
});

describe('checkKeep', () => {
  it('asks for adoption, channels that reopen and a state that several processes keep', () => {
    checkKeep(selected());
    const channels = { creditWindowBytes: null, reopen: false };
    const lacking = selected({
      hypervisor: { adopt: false, channels },
      state: { durable: false, multiProcess: false },
    });
    const error = throws(() => checkKeep(lacking), 'PLUGIN_CAPABILITY_MISSING', 'keeping a pod');
    expect(error.errors).to.have.length(4);
  });
});

describe('chooseEndpoint', () => {
  it("is the backend's first that the driver takes", () => {
    expect(
      chooseEndpoint({ endpoints: ['stream', 'tap-name', 'tap-fd'] }, { nicEndpoints: ['tap-fd', 'tap-name'] }),
    ).to.equal('tap-name');
    expect(chooseEndpoint({ endpoints: ['stream'] }, { nicEndpoints: ['tap-fd'] })).to.equal(undefined);
  });
});
