interface FakeAddress {
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
  routes: Record<string, unknown>[] = [];
  readonly #waiting = new Set<() => void>();
  #lastIndex = 1;

  plug(mac: string, name = `eth${this.links.length - 1}`): void {
    this.#lastIndex += 1;
    this.links.push({ name, index: this.#lastIndex, mac, mtu: 1500, up: false, addresses: [] });
    for (const look of this.#waiting) look();
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

export function wireFamily(address: string): number {
  return address.includes(':') ? 6 : 4;
}
