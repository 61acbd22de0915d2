import type { GuestNetwork, GuestRoute } from '../agent.js';
import { parseSubnet } from '../config/subnet.js';
import { familyOfAddress } from '../ipam/index.js';
import type { AddressLease } from '../network.js';
import { addressOnly, LOOPBACK } from './interface-spec.js';
import type { NicRecord, RouteRecord } from './record.js';
import { wrong } from './spec-errors.js';
import type { PodRoute } from './types.js';

export interface RoutableNic {
  readonly id: string;
  readonly lease: Pick<AddressLease, 'gateways'>;
  /** As asked for; undefined: nothing was said. */
  readonly gateway: string | false | undefined;
}

/**
 * The original's rule: a gateway that was given is the default route; otherwise the first interface carries it, here one
 * for each family, by its network's gateway. Later interfaces get none: two default routes would compete.
 * @param routes those that the pod has.
 * @throws POD_SPEC_INVALID a second gateway was given for one family.
 */
export function defaultRoutes(nics: readonly RoutableNic[], routes: readonly RouteRecord[]): RouteRecord[] {
  const made: RouteRecord[] = [];
  const has = (six: boolean) =>
    [...routes, ...made].some(
      (route) => route.metric === undefined && isDefault(route.destination) && familyIsSix(route) === six,
    );
  for (const { id, gateway } of nics) {
    if (typeof gateway !== 'string') continue;
    if (has(isSix(gateway))) {
      throw wrong(`interfaces.${id}.gateway`, 'one default route of each family (the pod has one)', gateway);
    }
    made.push({ destination: 'default', gateway, nic: id });
  }
  for (const { id, gateway, lease } of nics) {
    if (gateway !== undefined) continue;
    for (const each of lease.gateways) {
      if (!has(isSix(each))) made.push({ destination: 'default', gateway: each, nic: id });
    }
  }
  return made;
}

const isSix = (address: string) => familyOfAddress(address) === 6;
const ANY = ['0.0.0.0/0', '::/0'];
export const isDefault = (destination: string) => destination === 'default' || ANY.includes(destination);
const familyIsSix = ({ destination, gateway }: RouteRecord) => isSix(gateway ?? '') || destination.includes(':');

/** Canonical. @throws POD_SPEC_INVALID naming the field below `field`. */
export function parseRoute(route: RouteRecord, nics: readonly { readonly id: string }[], field: string): RouteRecord {
  if (route.gateway === undefined && route.nic === undefined) throw wrong(field, 'a gateway, a nic, or both', route);
  return parseSelector(route, nics, field);
}

/** What is not given is any. Canonical. @throws POD_SPEC_INVALID naming the field below `field`. */
export function parseSelector(
  route: RouteRecord,
  nics: readonly { readonly id: string }[],
  field: string,
): RouteRecord {
  const { nic, metric } = route;
  const gateway = route.gateway === undefined ? undefined : addressOnly(route.gateway, `${field}.gateway`);
  const destination = parseDestination(route.destination, `${field}.destination`);
  if (gateway !== undefined && destination !== 'default' && destination.includes(':') !== isSix(gateway)) {
    throw wrong(`${field}.gateway`, 'an address of the destination’s family', gateway);
  }
  if (nic !== undefined && !nics.some(({ id }) => id === nic)) {
    throw wrong(`${field}.nic`, `one of ${nics.map(({ id }) => id).join(', ') || 'none: the pod has no NIC'}`, nic);
  }
  return {
    // Only a gateway tells which family `default` is of.
    destination: destination === 'default' && gateway === undefined ? '0.0.0.0/0' : destination,
    ...(gateway !== undefined && { gateway }),
    ...(nic !== undefined && { nic }),
    ...(metric !== undefined && { metric }),
  };
}

function parseDestination(text: string, field: string): string {
  if (text === 'default') return text;
  if (!text.includes('/')) {
    const address = addressOnly(text, field);
    return `${address}/${isSix(address) ? 128 : 32}`;
  }
  const subnet = parseSubnet(text);
  if ('expected' in subnet) throw wrong(field, `${subnet.expected}, one address, or default`, text);
  return subnet.text;
}

/** The route as the agent takes it. */
export function guestRoute(route: RouteRecord, nics: readonly NicRecord[]): GuestRoute {
  const { destination, gateway, metric } = route;
  const nic = nics.find(({ id }) => id === route.nic);
  return {
    destination,
    ...(gateway !== undefined && { gateway }),
    ...(nic && (nic.kind === 'loopback' ? { device: LOOPBACK } : { mac: nic.mac })),
    ...(nic?.guestName && nic.kind === 'network' && { device: nic.guestName }),
    ...(metric !== undefined && { metric }),
  };
}

export const sameRoute = (a: RouteRecord, b: RouteRecord): boolean =>
  sameDestination(a, b) && a.gateway === b.gateway && a.nic === b.nic && a.metric === b.metric;

/** Whether a route is one that a selector means. A NIC or metric that was not recorded may be the one that is named. */
export const selects = (selector: RouteRecord, route: RouteRecord): boolean =>
  sameDestination(selector, route) &&
  (selector.gateway === undefined || selector.gateway === route.gateway) &&
  (selector.nic === undefined || route.nic === undefined || selector.nic === route.nic) &&
  (selector.metric === undefined || route.metric === undefined || selector.metric === route.metric);

/** `default` and 0.0.0.0/0 are one, where the gateway has the same family. */
function sameDestination(a: Pick<RouteRecord, 'destination' | 'gateway'>, b: typeof a): boolean {
  const canonical = ({ destination, gateway }: typeof a) =>
    destination === 'default' ? (isSix(gateway ?? '') ? '::/0' : '0.0.0.0/0') : destination;
  return canonical(a) === canonical(b);
}

/** Whether a route that we set is among those that the guest has. */
export function guestHas({ routes, links }: GuestNetwork, wanted: RouteRecord, nics: readonly NicRecord[]): boolean {
  const nic = nics.find(({ id }) => id === wanted.nic);
  const device = nic && (nic.kind === 'loopback' ? LOOPBACK : links.find(({ mac }) => mac === nic.mac)?.name);
  return routes.some((route) => {
    const name = route.device ?? links.find(({ mac }) => mac === route.mac)?.name;
    return (
      sameDestination(route, wanted) &&
      route.gateway === wanted.gateway &&
      (nic === undefined || name === device) &&
      (wanted.metric === undefined || route.metric === wanted.metric)
    );
  });
}

/** The guest's routes as users see them, and those of ours that it lacks. */
export function podRoutes(
  network: GuestNetwork,
  nics: readonly NicRecord[],
  ours: readonly RouteRecord[],
): readonly PodRoute[] {
  const told = network.routes.map((route): PodRoute => {
    const link = network.links.find(({ name, mac }) => (route.device ? name === route.device : mac === route.mac));
    const nic = nics.find((each) =>
      each.kind === 'loopback' ? link?.name === LOOPBACK : link !== undefined && each.mac === link.mac,
    );
    const { destination, gateway, metric } = route;
    const one = { links: network.links, routes: [route] };
    const device = link?.name ?? route.device;
    return {
      destination,
      ...(gateway !== undefined && { gateway }),
      ...(nic && { nic: nic.id }),
      ...(metric !== undefined && { metric }),
      ...(device !== undefined && { device }),
      origin: ours.some((each) => guestHas(one, each, nics)) ? 'pod' : 'guest',
    };
  });
  const missing = ours.filter((route) => !guestHas(network, route, nics));
  return [...told, ...missing.map((route) => ({ ...route, origin: 'pod', missing: true }) as const)];
}
