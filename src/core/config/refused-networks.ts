import type { HyperplugError } from '../errors.js';
import type { NetworkSpec } from '../network.js';
import { configError } from './config-errors.js';
import { overlap, parseSubnet, type Subnet } from './subnet.js';
import type { ConfigNode } from './tree.js';

/**
 * Networks that overlap one before them, with the error that whoever wants one is told. It is no error of the whole
 * configuration: what others have, and what is left of these, has to be looked at and torn down all the same.
 */
export function refusedNetworks(
  tree: ConfigNode,
  networks: readonly NetworkSpec[],
): ReadonlyMap<string, HyperplugError> {
  const refused = new Map<string, HyperplugError>();
  const good: { readonly name: string; readonly subnet: Subnet }[] = [];
  for (const { name, subnets } of networks) {
    const mine = subnets.map(parseSubnet).filter((each): each is Subnet => 'family' in each);
    const other = good.find(({ subnet }) => mine.some((each) => overlap(subnet, each)));
    if (!other) {
      good.push(...mine.map((subnet) => ({ name, subnet })));
      continue;
    }
    const expected = `a subnet that does not overlap ${other.subnet.text} of network ${other.name}`;
    refused.set(name, configError(tree, ['network', 'networks', name, 'subnets'], expected, JSON.stringify(subnets)));
  }
  return refused;
}
