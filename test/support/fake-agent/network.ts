import { BlockList } from 'node:net';

export interface FakeAddress {
  address: string;
  prefix: number;
  family: number;
}

export interface FakeLink {
  name: string;
  index: number;
  mac: string;
  mtu: number;
  up: boolean;
  addresses: FakeAddress[];
}

/** The guest's links and routes, as much of them as the protocol can see. */
export interface FakeRoute {
  dest: string;
  gateway?: string;
  mac?: string;
  device?: string;
  metric?: number;
}

/** What a kernel refuses, with its errno. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly errno: number,
  ) {
    super(message);
  }
}

export class FakeNetwork {
  readonly links: FakeLink[] = [
    {
      name: 'lo',
      index: 1,
      mac: '00:00:00:00:00:00',
      mtu: 65_536,
      up: true,
      addresses: [{ address: '127.0.0.1', prefix: 8, family: 4 }],
    },
  ];
  routes: FakeRoute[] = [];
  readonly #waiting = new Set<() => void>();
  #lastIndex = 1;

  plug(mac: string, name = `eth${this.links.length - 1}`): void {
    this.#lastIndex += 1;
    this.links.push({ name, index: this.#lastIndex, mac, mtu: 1500, up: false, addresses: [] });
    for (const look of this.#waiting) look();
  }

  /** All or none. @throws Refusal. */
  change(link: FakeLink, { name, mtu, add, remove }: FakeChange): void {
    if (mtu !== undefined && (mtu < 68 || mtu > 65_535)) throw new Refusal('Invalid argument', 22);
    const is = (one: FakeAddress) => (other: FakeAddress) =>
      one.address === other.address && one.prefix === other.prefix;
    for (const address of remove) {
      if (!link.addresses.some(is(address))) throw new Refusal('Cannot assign requested address', 99);
    }
    const kept = link.addresses.filter((has) => !remove.some(is(has)));
    if (add.some((address) => kept.some(is(address)))) throw new Refusal('File exists', 17);
    Object.assign(link, { up: true, addresses: [...kept, ...add] }, name ? { name } : {}, mtu ? { mtu } : {});
  }

  /** All or none. @throws Refusal. */
  addRoutes(routes: readonly FakeRoute[]): void {
    for (const { gateway, mac, device } of routes) {
      const reachable = this.links.some(
        (link) =>
          (mac === undefined || link.mac === mac) &&
          (device === undefined || link.name === device) &&
          (gateway === undefined || link.addresses.some((has) => isWithin(gateway, has))),
      );
      if (!reachable) throw new Refusal('Network is unreachable', 101);
    }
    this.routes.push(...routes);
  }

  removeRoutes(routes: readonly FakeRoute[]): void {
    const gone = routes.map(({ dest }) => dest);
    this.routes = this.routes.filter(({ dest }) => !gone.includes(dest));
  }

  /** Down, without addresses, and no route by it. */
  takeDown(link: FakeLink): void {
    const own = link.addresses;
    Object.assign(link, { up: false, addresses: [] });
    this.routes = this.routes.filter(
      ({ mac, gateway }) => mac !== link.mac && !own.some((address) => gateway && isWithin(gateway, address)),
    );
  }

  find(match: (link: FakeLink) => boolean): FakeLink | undefined {
    return this.links.find(match);
  }

  /** The link, at once or when it appears; undefined when it does not in time. */
  waitFor(match: (link: FakeLink) => boolean, timeoutMs: number): Promise<FakeLink | undefined> {
    const found = this.find(match);
    if (found) return Promise.resolve(found);
    return new Promise((resolve) => {
      const settle = (link: FakeLink | undefined) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(link);
      };
      const look = () => {
        const link = this.find(match);
        if (link) settle(link);
      };
      const timer = setTimeout(() => settle(undefined), timeoutMs);
      timer.unref();
      this.#waiting.add(look);
    });
  }
}

export interface FakeChange {
  readonly name?: string;
  readonly mtu?: number;
  readonly add: readonly FakeAddress[];
  readonly remove: readonly FakeAddress[];
}

function isWithin(address: string, network: FakeAddress): boolean {
  if (wireFamily(address) !== network.family) return false;
  const family = network.family === 6 ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  list.addSubnet(network.address, network.prefix, family);
  return list.check(address, family);
}

export function wireFamily(address: string): number {
  return address.includes(':') ? 6 : 4;
}
