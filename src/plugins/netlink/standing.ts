import type { CallOptions } from '../../core/calls.js';
import type { FirewallNetwork } from '../../core/firewall.js';
import type { InterfaceAddress } from '../../core/network.js';
import { isOfSubnet, subnetDrift } from './bridge.js';
import type { PlannedNetwork } from './network.js';
import { firewallNetwork } from './network-maker.js';
import type { Rtnl } from './rtnl.js';
import { parseSubnet } from './subnet.js';

/**
 * Networks whose bridge is there and is theirs, as the firewall is told of them. Rules of one that was never made are not
 * missing, and those of one whose name somebody else's bridge has must not come to be. One whose bridge has other
 * addresses than it should is refused by whoever makes it: until then its rules stay those of what it is.
 */
export async function standingNetworks(
  rtnl: Rtnl,
  networks: Iterable<PlannedNetwork>,
  call: CallOptions,
): Promise<FirewallNetwork[]> {
  const routed = [...networks].filter(({ attachment }) => attachment.kind !== 'macvtap');
  if (routed.length === 0) return [];
  const links = new Map((await rtnl.links(call)).map((link) => [link.name, link]));
  const standing = routed.flatMap((network) => {
    const { attachment, bridge } = network;
    const link = links.get(bridge.name);
    const ours = attachment.kind !== 'bridge' || bridge.foreign || link?.alias === bridge.alias;
    return link && ours ? [{ network, index: link.index }] : [];
  });
  const addresses = standing.length > 0 ? await rtnl.everyAddress(call) : [];
  return standing.map(({ network, index }) => {
    const has = addresses.filter((address) => address.index === index);
    const drift = subnetDrift(network.bridge, has);
    const fits = !drift.some(({ kind }) => network.bridge.foreign || kind === 'foreign');
    const told = firewallNetwork(network);
    return fits ? told : { ...told, subnets: subnetsOf(has, told.subnets) };
  });
}

/** One of each family: the wanted one where it is among them. */
function subnetsOf(addresses: readonly InterfaceAddress[], wanted: readonly string[]): string[] {
  const found = addresses
    .filter(isOfSubnet)
    .map(({ address, prefixLength }) => parseSubnet(`${address}/${prefixLength}`));
  return ([4, 6] as const).flatMap((family) => {
    const candidates = found.filter((subnet) => subnet.family === family).map(({ cidr }) => cidr);
    return candidates.find((cidr) => wanted.includes(cidr)) ?? candidates[0] ?? [];
  });
}
