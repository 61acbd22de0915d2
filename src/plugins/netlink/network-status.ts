import type { CallOptions } from '../../core/calls.js';
import type { Firewall, FirewallDrift } from '../../core/firewall.js';
import type { HostForwards } from '../../core/host-forwards.js';
import type { NetworkStatus } from '../../core/network.js';
import type { PlannedNetwork } from './network.js';
import type { NetworkMaker } from './network-maker.js';
import type { Rtnl } from './rtnl.js';

/** FirewallDrift's for what all networks share. */
const SHARED = '-';

interface Lookout {
  readonly rtnl: Rtnl;
  readonly maker: NetworkMaker;
  readonly firewall: Firewall;
  readonly forwards: HostForwards | undefined;
}

/** What is there of each network, and what differs, in words. @param made names of those that this process has made. */
export async function networkStatus(
  known: ReadonlyMap<string, PlannedNetwork>,
  made: ReadonlySet<string>,
  { rtnl, maker, firewall, forwards }: Lookout,
  call: CallOptions,
): Promise<NetworkStatus[]> {
  const networks = [...known.values()];
  const rules = networks.length > 0 ? await firewall.check(call) : [];
  const wayOut = (await forwards?.drift(call)) ?? [];
  const links = await Promise.all(networks.map(({ bridge }) => rtnl.link(bridge.name, call)));
  // With it are told rules that bear our mark and belong to no network.
  const teller = networks.find(({ spec }) => made.has(spec.name)) ?? networks[0];
  const absent = networks.filter((_, index) => links[index] === undefined).map(({ bridge }) => bridge.name);
  return Promise.all(
    networks.map(async (network, index) => {
      const { spec, bridge, subnets } = network;
      const present = links[index] !== undefined;
      const first = network === teller;
      const mine = rules.filter(({ network: owner, rule }) => {
        if (first && !known.has(owner)) return true;
        // What held a network apart from one that is gone is told with that one.
        if (present) return owner === spec.name && !names(rule, absent);
        return owner === spec.name || names(rule, [bridge.name]);
      });
      return {
        name: spec.name,
        present,
        bridge: bridge.name,
        subnets: subnets.map(({ cidr }) => cidr),
        gateways: subnets.map(({ gateway }) => gateway),
        mtu: bridge.mtu,
        drift: [
          ...(await maker.drift(network, call)),
          ...mine.map((each) => driftText(each, spec.name, present)),
          ...(first ? wayOut : []),
        ],
      };
    }),
  );
}

const names = (rule: string, bridges: readonly string[]): boolean =>
  rule.split(/[\s"]+/).some((word) => bridges.includes(word));

function driftText({ kind, network, rule }: FirewallDrift, name: string, present: boolean): string {
  // Its own, which outlived its bridge.
  const left = kind === 'foreign' && !present && (network === name || network === SHARED);
  return `firewall: ${left ? 'left of a bridge that is gone' : kind}: ${rule}`;
}
