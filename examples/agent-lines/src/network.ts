import { setTimeout as pause } from 'node:timers/promises';
import {
  type CallOptions,
  type GuestNetwork,
  type GuestNic,
  type GuestNicConfig,
  type GuestRoute,
  hasCode,
  throwIfAborted,
} from 'hyperplug';
import { type Exec, refused, run } from './programs.js';

const LOOPBACK_MAC = '00:00:00:00:00:00';
const POLL_MS = 50;
const isV6 = (text: string | undefined) => text?.includes(':') ?? false;

/** The guest's network by its `ip` (iproute2's or busybox's): what the kernel refuses it says, and it is read back. */
export class GuestNetworking {
  constructor(
    readonly exec: Exec,
    readonly nicTimeoutMs: number,
  ) {}

  async #ip(argv: readonly string[], options: CallOptions): Promise<string> {
    return (await run(this.exec, ['ip', ...argv], options)).toString('utf8');
  }

  async read(options: CallOptions): Promise<GuestNetwork> {
    const [links, addresses, four, six] = await Promise.all([
      this.#ip(['-o', 'link', 'show'], options),
      this.#ip(['-o', 'addr', 'show'], options),
      this.#ip(['-4', 'route', 'show'], options),
      // A guest without IPv6 has no such table.
      this.#ip(['-6', 'route', 'show'], options).catch((error) => {
        if (hasCode(error, 'AGENT_REFUSED')) return '';
        throw error;
      }),
    ]);
    return { links: parseLinks(links, addresses), routes: [...parseRoutes(four), ...parseRoutes(six)] };
  }

  async setUp(config: GuestNicConfig, options: CallOptions): Promise<GuestNic> {
    const there = await this.#appeared(config, options);
    const name = config.name ?? there.name;
    if (name !== there.name) {
      await this.#ip(['link', 'set', 'dev', there.name, 'down'], options);
      await this.#ip(['link', 'set', 'dev', there.name, 'name', name], options);
    }
    if (config.mtu !== undefined) await this.#ip(['link', 'set', 'dev', name, 'mtu', `${config.mtu}`], options);
    await this.#ip(['link', 'set', 'dev', name, 'up'], options);
    for (const { address, prefixLength } of config.removeAddresses) {
      await this.#ip(['addr', 'del', `${address}/${prefixLength}`, 'dev', name], options);
    }
    for (const { address, prefixLength } of config.addAddresses) {
      if (there.addresses.some((own) => own.address === address)) continue;
      const flags = isV6(address) ? ['nodad'] : [];
      await this.#ip(['addr', 'add', `${address}/${prefixLength}`, 'dev', name, ...flags], options);
    }
    const { links } = await this.read(options);
    const now = links.find((link) => link.name === name && link.mac === there.mac);
    if (now?.up) return now;
    throw refused(`NIC ${name} (${there.mac}) is not up`);
  }

  async #appeared(config: { readonly mac: string; readonly expectedName: string }, options: CallOptions) {
    const end = Date.now() + this.nicTimeoutMs;
    for (;;) {
      const { links } = await this.read(options);
      const byMac = config.mac !== LOOPBACK_MAC;
      const found = links.find(({ mac, name }) => (byMac ? mac === config.mac : name === config.expectedName));
      if (found) return found;
      throwIfAborted(options.signal, `NIC ${config.mac}`);
      if (Date.now() > end) throw refused(`no NIC ${config.mac} has appeared in ${this.nicTimeoutMs} ms`);
      await pause(POLL_MS);
    }
  }

  async remove(nic: { readonly mac: string; readonly expectedName: string }, options: CallOptions): Promise<void> {
    const { links } = await this.read(options);
    const found = links.find(({ mac }) => mac === nic.mac);
    if (!found) throw refused(`no NIC ${nic.mac}`);
    await this.#ip(['addr', 'flush', 'dev', found.name], options);
    await this.#ip(['link', 'set', 'dev', found.name, 'down'], options);
  }

  /** All or none. */
  async addRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void> {
    const { links } = await this.read(options);
    const added: string[][] = [];
    try {
      for (const route of routes) {
        const argv = routeArgv(route, links);
        await this.#ip([...argv.family, 'route', 'add', ...argv.rest], options);
        added.push([...argv.family, 'route', 'del', ...argv.rest]);
      }
    } catch (error) {
      const call = { signal: AbortSignal.timeout(10_000) };
      for (const argv of added.reverse()) await this.#ip(argv, call).catch(() => {});
      throw error;
    }
  }

  async removeRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void> {
    const { links } = await this.read(options);
    for (const route of routes) {
      const argv = routeArgv(route, links);
      await this.#ip([...argv.family, 'route', 'del', ...argv.rest], options);
    }
  }
}

function routeArgv({ destination, gateway, mac, device, metric }: GuestRoute, links: readonly GuestNic[]) {
  const name = mac === undefined ? device : links.find((link) => link.mac === mac)?.name;
  if (mac !== undefined && name === undefined) throw refused(`no NIC ${mac}`);
  const option = (word: string, value: string | number | undefined) => (value === undefined ? [] : [word, `${value}`]);
  return {
    family: isV6(destination) || isV6(gateway) ? ['-6'] : [],
    rest: [destination, ...option('via', gateway), ...option('dev', name), ...option('metric', metric)],
  };
}

/** `2: eth0@if3: <BROADCAST,UP> mtu 1500 … link/ether 02:… brd …`, one line each. */
export function parseLinks(links: string, addresses: string): GuestNic[] {
  return links.split('\n').flatMap((line): GuestNic[] => {
    const [, index, name, flags, mtu, mac] =
      /^(\d+): ([^:@\s]+)(?:@\S+)?: <([^>]*)> mtu (\d+) .*link\/\S+ ([0-9a-f:]{17})/.exec(line) ?? [];
    if (name === undefined || mac === undefined || flags === undefined) return [];
    const up = flags.split(',').includes('UP');
    return [{ name, index: Number(index), mac, mtu: Number(mtu), up, addresses: parseAddresses(addresses, name) }];
  });
}

/** `2: eth0    inet 10.0.0.1/24 …` */
function parseAddresses(text: string, device: string): GuestNic['addresses'] {
  return text.split('\n').flatMap((line) => {
    const [, name, address, prefix] = /^\d+: (\S+)\s+inet6? ([0-9a-f.:]+)\/(\d+)/.exec(line) ?? [];
    return name === device && address !== undefined ? [{ address, prefixLength: Number(prefix) }] : [];
  });
}

/** `198.51.100.0/24 via 10.0.0.1 dev eth0 metric 5` */
export function parseRoutes(text: string): GuestRoute[] {
  return text.split('\n').flatMap((line): GuestRoute[] => {
    const [destination, ...words] = line.trim().split(/\s+/);
    if (!destination || !/^(?:default|[0-9a-f.:]+(?:\/\d+)?)$/.test(destination)) return [];
    const after = (word: string) => (words.includes(word) ? words[words.indexOf(word) + 1] : undefined);
    const [gateway, device, metric] = [after('via'), after('dev'), after('metric')];
    const parts = { ...(gateway && { gateway }), ...(device && { device }), ...(metric && { metric: Number(metric) }) };
    return [{ destination, ...parts }];
  });
}
