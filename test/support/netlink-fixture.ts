import { expect } from 'chai';
import type { Firewall } from '../../src/core/firewall.js';
import type { HostNic, NetworkSpec, NicPlan } from '../../src/core/network.js';
import { IptablesFirewall } from '../../src/plugins/iptables/firewall.js';
import type { NetlinkOptions } from '../../src/plugins/netlink/options.js';
import { NoFirewall } from '../../src/plugins/none-firewall/index.js';
import { type Bench, callFor, networkSpec, openDescriptors, startBackend, tools } from './netlink-backend.js';
import { TestNamespace } from './netns.js';
import { requireOrSkip } from './require.js';
import { tempDirs } from './temp-dir.js';

export interface NetlinkFixture {
  /** Of the test that runs. */
  readonly namespace: TestNamespace;
  readonly directory: string;
  /** Stopped after the test. */
  start(firewall?: Firewall, options?: Partial<NetlinkOptions>): Promise<Bench>;
  /** With one network, which is made; without a firewall's rules unless one is given. */
  ready(spec?: Partial<NetworkSpec>, firewall?: Firewall, options?: Partial<NetlinkOptions>): Promise<Bench>;
  /** On the network `default`, with an address if none is given. */
  attach(bench: Bench, podId: string, parts?: Partial<NicPlan>): Promise<HostNic>;
  iptables(): IptablesFirewall;
}

/** Hooks for a describe(): each test has a namespace of its own, and leaves no descriptor open. */
export function netlinkFixture(): NetlinkFixture {
  let namespace: TestNamespace;
  let directory: string;
  let descriptors: number;
  const benches: Bench[] = [];

  before(function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
  });
  beforeEach(() => {
    namespace = new TestNamespace();
    directory = directories();
    descriptors = openDescriptors();
  });
  afterEach(async () => {
    for (const bench of benches.splice(0)) await bench.stop();
    namespace.delete();
    expect(openDescriptors(), 'open descriptors').to.be.at.most(descriptors);
  });
  // After the hook that needs it: hooks run in the order in which they stand.
  const directories = tempDirs();

  const start: NetlinkFixture['start'] = async (firewall, options = {}) => {
    const bench = await startBackend({ namespace, directory, options, ...(firewall && { firewall }) });
    benches.push(bench);
    return bench;
  };
  return {
    get namespace() {
      return namespace;
    },
    get directory() {
      return directory;
    },
    start,
    async ready(spec = {}, firewall = new NoFirewall(), options = {}) {
      const bench = await start(firewall, options);
      await bench.backend.init([networkSpec(spec)], callFor());
      return bench;
    },
    async attach({ backend }, podId, parts = {}) {
      const call = callFor();
      const request = { network: 'default', podId, nicId: 'n', addresses: [] };
      const lease = parts.lease ?? (await backend.allocateAddress(request, call));
      const mac = '02:00:00:00:00:01';
      return backend.attach(
        { podId, nicId: 'n', mac, mtu: lease.mtu, queues: 1, lease, ports: [], endpoint: 'tap-fd', ...parts },
        call,
      );
    },
    iptables: () => new IptablesFirewall({ variant: 'auto', netns: namespace.path }, tools),
  };
}
