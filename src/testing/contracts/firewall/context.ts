import type { Firewall, FirewallNetwork, PublishedPort } from '../../../core/firewall.js';
import { deepFreeze } from '../../../core/json.js';
import type { PortMapping } from '../../../core/network.js';
import { type Suite, suiteOf, type TestContext } from '../../kit/suite.js';
import { guarded } from '../../kit/timeouts.js';
import type { FirewallContract } from './types.js';

export interface FirewallContext extends TestContext {
  readonly firewall: Firewall;
  /** Another manager of the same host. */
  another(): Promise<Firewall>;
  readonly network: FirewallNetwork;
  readonly other: FirewallNetwork;
  rules(): Promise<readonly string[]>;
  /** A port of `network`, to 10.213.7.2 or its like. */
  port(hostPort: number, mapping?: Partial<PortMapping>, network?: FirewallNetwork): PublishedPort;
}

export type FirewallSuite = Suite<FirewallContext>;

export function firewallSuite(contract: FirewallContract): FirewallSuite {
  const [bridge, otherBridge] = contract.bridges ?? ['hpc0', 'hpc1'];
  const { capabilities } = contract;
  const network = networkOf('contract', bridge, 7, contract);
  const other = networkOf('contract-2', otherBridge, 8, contract);
  const rulesBefore = new WeakMap<TestContext, readonly string[]>();
  return suiteOf<FirewallContext>({
    runner: contract.runner,
    timeouts: contract.timeouts,
    async setUp(base) {
      const limitMs = base.timeouts.callMs + base.timeouts.graceMs;
      const create = async () => {
        const firewall = await contract.create();
        base.defer(() => contract.dispose?.(firewall));
        const bound = guarded(firewall, limitMs, 'firewall');
        await bound.start?.(base.options());
        base.defer(() => bound.stop?.(base.options()));
        return bound;
      };
      const before = await contract.rules();
      const firewall = await create();
      const context: FirewallContext = {
        ...base,
        firewall,
        another: create,
        network,
        other,
        rules: async () => contract.rules(),
        port(hostPort, mapping = {}, { name, subnets } = network) {
          const six = !capabilities.families.includes(4);
          const prefix = subnets[0]?.split('/')[0] as string;
          const guestAddress = six ? `${prefix}2` : prefix.replace(/0$/, '2');
          const whole = {
            protocol: capabilities.protocols[0] ?? 'tcp',
            hostAddress: six ? '::' : '0.0.0.0',
            hostPort,
            guestPort: 80,
            count: 1,
            ...mapping,
          } as const;
          const id = `pod/nic/${whole.protocol}/${whole.hostAddress}/${hostPort}`;
          return deepFreeze({ id, network: name, mapping: whole, guestAddress });
        },
      };
      rulesBefore.set(context, before);
      return context;
    },
    async leftovers(context) {
      const { firewall, options } = context;
      await firewall.removeNetwork(network.name, options());
      await firewall.removeNetwork(other.name, options());
      const before = rulesBefore.get(context) ?? [];
      const now = await contract.rules();
      return [...missing(now, before, 'left'), ...missing(before, now, 'lost')];
    },
    reap: async () => {},
  });
}

/** What of `rules` is not in `others`, as often as it is there. */
function missing(rules: readonly string[], others: readonly string[], word: string): string[] {
  const rest = [...others];
  return rules.flatMap((rule) => {
    const at = rest.indexOf(rule);
    if (at < 0) return [`${word}: ${rule}`];
    rest.splice(at, 1);
    return [];
  });
}

function networkOf(name: string, bridge: string, number: number, { capabilities }: FirewallContract): FirewallNetwork {
  const subnets = [
    ...(capabilities.families.includes(4) ? [`10.213.${number}.0/24`] : []),
    ...(capabilities.families.includes(6) ? [`fd00:213:${number}::/64`] : []),
  ];
  return deepFreeze({ name, bridge, subnets: subnets.length > 0 ? subnets : ['10.213.0.0/24'], isolated: false });
}
