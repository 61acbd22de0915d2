import { isIPv6 } from 'node:net';
import type { GuestRoute } from '../agent.js';
import type { AddressLease } from '../network.js';

export interface RoutableNic {
  readonly mac: string;
  readonly lease: AddressLease;
}

/**
 * The original's rule: the first interface of a pod whose address was given automatically carries the default route, here
 * one for each family. Gateways of later interfaces get none: two default routes would compete.
 */
export function defaultRoutes(nics: readonly RoutableNic[]): GuestRoute[] {
  const routes: GuestRoute[] = [];
  const seen = new Set<boolean>();
  for (const nic of nics) {
    for (const gateway of nic.lease.gateways) {
      const six = isIPv6(gateway);
      if (seen.has(six)) continue;
      seen.add(six);
      routes.push({ destination: 'default', gateway, mac: nic.mac });
    }
  }
  return routes;
}
