import { isIPv6 } from 'node:net';
import { HyperplugError } from '../../core/errors.js';
import type { PublishedPort } from '../../core/firewall.js';
import type { NicPlan, PortMapping } from '../../core/network.js';

/**
 * A mapping leads to the NIC that it was declared on: to its address of the family that the host address has.
 * @throws NET_SPEC_INVALID the NIC has no address of that family.
 */
export function publishedPorts(plan: NicPlan): PublishedPort[] {
  return plan.ports.map((mapping) => {
    const target = plan.lease.addresses.find(({ address }) => isIPv6(address) === isIPv6(mapping.hostAddress));
    if (target) {
      return {
        id: portId(plan.podId, plan.nicId, mapping),
        network: plan.lease.network,
        mapping,
        guestAddress: target.address,
      };
    }
    const family = isIPv6(mapping.hostAddress) ? 'IPv6' : 'IPv4';
    throw new HyperplugError(
      'NET_SPEC_INVALID',
      `hostAddress: expected one of a family the NIC has, got ${mapping.hostAddress} and no ${family} address`,
      {
        details: { field: 'hostAddress', received: mapping.hostAddress },
      },
    );
  });
}

export const portId = (podId: string, nicId: string, { protocol, hostAddress, hostPort }: PortMapping): string =>
  `${podId}/${nicId}/${protocol}/${hostAddress}/${hostPort}`;
