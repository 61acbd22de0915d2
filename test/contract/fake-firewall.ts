import type { FirewallCapabilities } from '../../src/core/firewall.js';
import {
  type ContractRunner,
  type ContractTimeouts,
  FAKE_FIREWALL_CAPABILITIES,
  FakeFirewall,
  type FakeFirewallOptions,
  FakeRuleTable,
  firewallContract,
} from '../../src/testing/index.js';

export interface FakeFirewallSuite {
  readonly runner: ContractRunner;
  readonly label?: string;
  readonly capabilities?: Partial<FirewallCapabilities>;
  readonly timeouts?: Partial<ContractTimeouts>;
  readonly firewall?: new (options: FakeFirewallOptions) => FakeFirewall;
}

/** The firewall suite on FakeFirewall, or on a variant of it. */
export function fakeFirewallContract(suite: FakeFirewallSuite): void {
  const { runner, label = 'fake', timeouts = {}, firewall: FirewallClass = FakeFirewall } = suite;
  const table = new FakeRuleTable();
  const ours = () => table.rules.filter((rule) => rule.includes('# hyperplug'));
  firewallContract({
    runner,
    label,
    timeouts,
    capabilities: { ...FAKE_FIREWALL_CAPABILITIES, ...suite.capabilities },
    create: () => new FirewallClass({ table, capabilities: suite.capabilities ?? {} }),
    // What a defect left would fail every test that follows as well.
    dispose: () => {
      table.rules = [];
    },
    rules: () => table.rules,
    tamper: {
      removeOne() {
        const [, second] = ours();
        table.rules = table.rules.filter((rule) => rule !== second);
      },
      duplicateOne() {
        table.rules = [...table.rules, ours()[0] as string];
      },
      flush() {
        table.rules = table.rules.filter((rule) => !ours().includes(rule));
      },
      addForeign() {
        table.rules = [...table.rules, 'accept everything # hyperplug forgotten'];
      },
      addOthers() {
        const theirs = 'accept from elsewhere';
        table.rules = [theirs, ...table.rules];
        return () => {
          table.rules = table.rules.filter((rule) => rule !== theirs);
        };
      },
    },
    translate: async (protocol, address, port) => FakeFirewall.translate(table, protocol, address, port),
    inject: { refuse: (firewall) => (firewall as FakeFirewall).faults.plan('apply') },
  });
}
