import { BlockList, isIP, isIPv6 } from 'node:net';
import { constants } from 'node:os';
import type { GuestNetwork, GuestNic, GuestNicConfig, GuestRoute } from '../../../core/agent.js';
import type { InterfaceAddress } from '../../../core/network.js';

/** What a kernel says when it refuses. */
export class GuestRefusal extends Error {
  constructor(
    readonly reason: string,
    readonly errno?: number,
  ) {
    super(reason);
  }
}

const { EINVAL, EEXIST, ENODEV, ENETUNREACH, ESRCH } = constants.errno;
const MAX_MTU = 65_535;
const MIN_MTU = 68;

interface Link {
  name: string;
  index: number;
  mac: string;
  mtu: number;
  up: boolean;
  addresses: InterfaceAddress[];
}

/** Links, addresses and routes of a FakeGuest, with a kernel's refusals. */
export class GuestNetworkState {
  readonly #links: Link[] = [
    {
      name: 'lo',
      index: 1,
      mac: '00:00:00:00:00:00',
      mtu: 65_536,
      up: true,
      addresses: [{ address: '127.0.0.1', prefixLength: 8 }],
    },
  ];
  readonly #routes: GuestRoute[] = [];
  #lastIndex = 1;

  plug({ mac, mtu }: { readonly mac: string; readonly mtu: number }): void {
    const names = new Set(this.#links.map(({ name }) => name));
    let number = 0;
    while (names.has(`eth${number}`)) number++;
    this.#links.push({ name: `eth${number}`, index: ++this.#lastIndex, mac, mtu, up: false, addresses: [] });
  }

  unplug(mac: string): void {
    const index = this.#links.findIndex((link) => link.mac === mac);
    if (index > 0) this.#links.splice(index, 1);
    this.#forgetRoutes(mac);
  }

  #forgetRoutes(mac: string): void {
    for (let at = this.#routes.length - 1; at >= 0; at--) if (this.#routes[at]?.mac === mac) this.#routes.splice(at, 1);
  }

  find(mac: string): GuestNic | undefined {
    const link = this.#links.find((each) => each.mac === mac);
    return link && { ...link, addresses: [...link.addresses] };
  }

  /** All or nothing. @throws GuestRefusal */
  configure(config: GuestNicConfig): GuestNic {
    const link = this.#links.find(({ mac }) => mac === config.mac);
    if (!link) throw new GuestRefusal(`no NIC ${config.mac}`, ENODEV);
    const next = { ...link, addresses: [...link.addresses] };
    if (config.mtu !== undefined) {
      if (config.mtu < MIN_MTU || config.mtu > MAX_MTU)
        throw new GuestRefusal('mtu greater than device maximum', EINVAL);
      next.mtu = config.mtu;
    }
    if (config.name !== undefined) {
      if (!/^[^/\s]{1,15}$/.test(config.name)) throw new GuestRefusal(`invalid name ${config.name}`, EINVAL);
      if (this.#links.some((each) => each !== link && each.name === config.name)) {
        throw new GuestRefusal(`name ${config.name} is taken`, EEXIST);
      }
      next.name = config.name;
    }
    for (const address of config.removeAddresses) {
      const at = next.addresses.findIndex((each) => each.address === address.address);
      if (at < 0) throw new GuestRefusal(`address ${address.address} is not there`, ESRCH);
      next.addresses.splice(at, 1);
    }
    for (const { address, prefixLength } of config.addAddresses) {
      const bits = isIPv6(address) ? 128 : 32;
      if (!isIP(address) || !(prefixLength >= 0 && prefixLength <= bits)) {
        throw new GuestRefusal(`invalid address ${address}/${prefixLength}`, EINVAL);
      }
      if (!next.addresses.some((each) => each.address === address)) next.addresses.push({ address, prefixLength });
    }
    next.up = true;
    Object.assign(link, next);
    return this.find(config.mac) as GuestNic;
  }

  takeDown(mac: string): void {
    const link = this.#links.find((each) => each.mac === mac);
    if (!link) throw new GuestRefusal(`no NIC ${mac}`, ENODEV);
    link.up = false;
    link.addresses = [];
    this.#forgetRoutes(mac);
  }

  /** All or none. @throws GuestRefusal */
  addRoutes(routes: readonly GuestRoute[]): void {
    const resolved = routes.map((route) => this.#resolve(route));
    for (const [at, route] of resolved.entries()) {
      const others = [...this.#routes, ...resolved.slice(0, at)];
      if (others.some((each) => sameRoute(each, route))) {
        throw new GuestRefusal(`route to ${route.destination} exists`, EEXIST);
      }
    }
    this.#routes.push(...resolved);
  }

  removeRoutes(routes: readonly GuestRoute[]): void {
    const resolved = routes.map((route) => this.#resolve(route));
    for (const route of resolved) {
      if (!this.#routes.some((each) => sameRoute(each, route))) {
        throw new GuestRefusal(`no route to ${route.destination}`, ESRCH);
      }
    }
    for (const route of resolved) {
      this.#routes.splice(
        this.#routes.findIndex((each) => sameRoute(each, route)),
        1,
      );
    }
  }

  #resolve(route: GuestRoute): GuestRoute {
    const reachable = (link: Link) => link.up && (!route.gateway || onLink(link, route.gateway));
    const link = this.#links.find(
      (each) =>
        (!route.mac || each.mac === route.mac) && (!route.device || each.name === route.device) && reachable(each),
    );
    if (!link) throw new GuestRefusal('Nexthop has invalid gateway or device', ENETUNREACH);
    return { ...route, mac: link.mac, device: link.name };
  }

  read(): GuestNetwork {
    return {
      links: this.#links.map((link) => ({ ...link, addresses: [...link.addresses] })),
      routes: this.#routes.map((route) => ({ ...route })),
    };
  }
}

const sameRoute = (a: GuestRoute, b: GuestRoute) =>
  a.destination === b.destination && a.gateway === b.gateway && a.mac === b.mac && a.metric === b.metric;

function onLink({ addresses }: Link, gateway: string): boolean {
  const family = isIPv6(gateway) ? 'ipv6' : 'ipv4';
  return addresses.some(({ address, prefixLength }) => {
    if ((isIPv6(address) ? 'ipv6' : 'ipv4') !== family) return false;
    const subnet = new BlockList();
    subnet.addSubnet(address, prefixLength, family);
    return subnet.check(gateway, family);
  });
}
