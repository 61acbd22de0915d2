import { isIPv6 } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { type CallOptions, throwIfAborted } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type {
  Firewall,
  FirewallCapabilities,
  FirewallDrift,
  FirewallNetwork,
  PublishedPort,
  Restriction,
} from '../../core/firewall.js';
import { deepFreeze } from '../../core/json.js';
import { Faults } from './faults.js';

export const FAKE_FIREWALL_CAPABILITIES: FirewallCapabilities = deepFreeze({
  families: [4, 6],
  protocols: ['tcp', 'udp'],
  enforces: true,
  isolation: true,
  localhost: true,
  hairpin: true,
  needsRoot: false,
  restricts: true,
  publishToAny: true,
});

export interface FakeFirewallOptions {
  readonly name?: string;
  readonly capabilities?: Partial<FirewallCapabilities>;
  /** The kernel's rules, shared by whoever else is at them. */
  readonly table?: FakeRuleTable;
}

/** The rules of a kernel, as text; whoever writes replaces them all at once. */
export class FakeRuleTable {
  rules: readonly string[] = [];
}

const MARK = ' # hyperplug ';

interface OwnedRule {
  readonly network: string;
  readonly port?: PublishedPort;
  readonly restriction?: Restriction;
}

/** Of a rule that bears our mark. */
function owned(rule: string): OwnedRule | undefined {
  const at = rule.indexOf(MARK);
  if (at < 0) return undefined;
  const [network = '', ...rest] = rule.slice(at + MARK.length).split(' ');
  if (rest.length === 0) return { network };
  const value = JSON.parse(rest.join(' ')) as PublishedPort | Restriction;
  return 'mapping' in value ? { network, port: value } : { network, restriction: value };
}

function networkRules({ name, bridge, subnets, isolated }: FirewallNetwork): string[] {
  const rules = subnets.map((subnet) => `masquerade from ${subnet} not to ${bridge}`);
  rules.push(`accept established to ${bridge}`, `${isolated ? 'drop' : 'accept'} from ${bridge}`);
  return rules.map((rule) => `${rule}${MARK}${name}`);
}

function portRule(port: PublishedPort): string {
  const { protocol, hostAddress, hostPort, guestPort, count, guestCount } = port.mapping;
  const any = guestCount === undefined ? '' : ` any of ${guestCount}`;
  const what = `dnat ${protocol} ${hostAddress} ${hostPort}+${count} to ${port.guestAddress} ${guestPort}${any}`;
  return `${what}${MARK}${port.network} ${JSON.stringify(port)}`;
}

function restrictionRule(restriction: Restriction): string {
  return `let in to ${restriction.guestAddress} by list${MARK}${restriction.network} ${JSON.stringify(restriction)}`;
}

const restrictionKey = ({ id, guestAddress }: Restriction) => `${id} ${guestAddress}`;

interface Known {
  readonly networks: [string, FirewallNetwork][];
  readonly ports: [string, PublishedPort][];
  readonly restrictions: [string, Restriction][];
}

/** A firewall on a list of rules in memory. Methods are small so that a test can put a defect into one of them. */
export class FakeFirewall implements Firewall {
  readonly name: string;
  readonly capabilities: FirewallCapabilities;
  readonly table: FakeRuleTable;
  /** `apply`: the kernel refuses the next change. */
  readonly faults = new Faults<'apply'>();
  protected readonly networks = new Map<string, FirewallNetwork>();
  protected readonly ports = new Map<string, PublishedPort>();
  protected readonly restrictions = new Map<string, Restriction>();

  constructor(options: FakeFirewallOptions = {}) {
    this.name = options.name ?? 'fake';
    this.capabilities = deepFreeze({ ...FAKE_FIREWALL_CAPABILITIES, ...options.capabilities });
    this.table = options.table ?? new FakeRuleTable();
  }

  /** What others have, then ours: by network, each network's own rules, then its restrictions and ports. */
  protected wanted(): string[] {
    const ours = [...this.networks.values()]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap((network) => [
        ...networkRules(network),
        ...[...this.restrictions.values()]
          .filter((each) => each.network === network.name)
          .map(restrictionRule)
          .sort(),
        ...[...this.ports.values()]
          .filter((port) => port.network === network.name)
          .sort((a, b) => (a.id < b.id ? -1 : 1))
          .map(portRule),
      ]);
    return [...this.table.rules.filter((rule) => !owned(rule)), ...ours];
  }

  /** All at once, or nothing. @throws FIREWALL_FAILED */
  protected apply(rules: readonly string[]): void {
    try {
      this.faults.pass('apply');
    } catch (cause) {
      throw new HyperplugError('FIREWALL_FAILED', 'the kernel refused the rules', { cause });
    }
    this.table.rules = [...rules];
  }

  /** Changes what is known and the rules with it; neither when the rules are refused. */
  protected async change(what: string, { signal }: CallOptions, body: () => void): Promise<void> {
    throwIfAborted(signal, what);
    await turn();
    throwIfAborted(signal, what);
    this.learnPorts();
    const before = this.known();
    try {
      body();
      this.apply(this.wanted());
    } catch (error) {
      this.restore(before);
      throw error;
    }
  }

  protected known(): Known {
    return { networks: [...this.networks], ports: [...this.ports], restrictions: [...this.restrictions] };
  }

  protected restore(before: Known): void {
    this.networks.clear();
    this.ports.clear();
    this.restrictions.clear();
    for (const [key, restriction] of before.restrictions) this.restrictions.set(key, restriction);
    for (const [name, network] of before.networks) this.networks.set(name, network);
    for (const [id, port] of before.ports) this.ports.set(id, port);
  }

  /** Ports that another manager published, and its restrictions: the rules tell. */
  protected learnPorts(): void {
    for (const rule of this.table.rules) {
      const { port, restriction } = owned(rule) ?? {};
      if (restriction && this.networks.has(restriction.network)) {
        this.restrictions.set(restrictionKey(restriction), restriction);
      }
      if (port && this.networks.has(port.network) && !this.ports.has(port.id)) this.ports.set(port.id, port);
    }
  }

  configure(
    networks: readonly FirewallNetwork[],
    ports?: readonly PublishedPort[],
    restrictions?: readonly Restriction[],
  ): void {
    const known = this.known();
    this.restore({
      networks: networks.map((network) => [network.name, network]),
      ports: ports?.map((port) => [port.id, port]) ?? known.ports,
      restrictions: restrictions?.map((each) => [restrictionKey(each), each]) ?? known.restrictions,
    });
  }

  async ensureNetwork(network: FirewallNetwork, options: CallOptions): Promise<void> {
    if (network.isolated && !this.capabilities.isolation) this.refuse('isolation');
    const families = new Set(network.subnets.map((subnet) => (isIPv6(subnet.split('/')[0] as string) ? 6 : 4)));
    for (const family of families) if (!this.capabilities.families.includes(family)) this.refuse(`IPv${family}`);
    await this.change(`rules of network ${network.name}`, options, () => {
      this.networks.set(network.name, network);
      this.learnPorts();
    });
  }

  protected refuse(what: string): never {
    throw new HyperplugError('NOT_SUPPORTED', `firewall ${this.name} does not declare ${what}`);
  }

  async removeNetwork(name: string, options: CallOptions): Promise<void> {
    await this.change(`removal of network ${name}`, options, () => {
      this.networks.delete(name);
      for (const known of [this.ports, this.restrictions]) {
        for (const [key, { network }] of [...known]) if (network === name) known.delete(key);
      }
    });
  }

  async publish(ports: readonly PublishedPort[], options: CallOptions): Promise<void> {
    for (const { mapping } of ports) {
      if (!this.capabilities.protocols.includes(mapping.protocol)) this.refuse(mapping.protocol);
      if (mapping.guestCount !== undefined && !this.capabilities.publishToAny) this.refuse('publishToAny');
    }
    await this.change('publishing', options, () => {
      for (const port of ports) {
        if (!this.networks.has(port.network)) {
          throw new HyperplugError('FIREWALL_FAILED', `network ${port.network} has no rules`, { details: { port } });
        }
        this.ports.set(port.id, port);
      }
    });
  }

  async unpublish(ids: readonly string[], options: CallOptions): Promise<void> {
    await this.change('unpublishing', options, () => {
      for (const id of ids) this.ports.delete(id);
    });
  }

  async published({ signal }: CallOptions): Promise<readonly PublishedPort[]> {
    throwIfAborted(signal, 'reading the ports');
    const ports = this.table.rules.flatMap((rule) => owned(rule)?.port ?? []);
    return [...new Map(ports.map((port) => [port.id, port])).values()];
  }

  async restrict(restrictions: readonly Restriction[], options: CallOptions): Promise<void> {
    if (!this.capabilities.restricts) this.refuse('restricts');
    await this.change('restricting', options, () => {
      const ids = new Set(restrictions.map(({ id }) => id));
      for (const [key, { id }] of [...this.restrictions]) if (ids.has(id)) this.restrictions.delete(key);
      for (const restriction of restrictions) {
        if (!this.networks.has(restriction.network)) {
          throw new HyperplugError('FIREWALL_FAILED', `network ${restriction.network} has no rules`);
        }
        this.restrictions.set(restrictionKey(restriction), restriction);
      }
    });
  }

  async unrestrict(ids: readonly string[], options: CallOptions): Promise<void> {
    await this.change('ending restrictions', options, () => {
      for (const [key, { id }] of [...this.restrictions]) if (ids.includes(id)) this.restrictions.delete(key);
    });
  }

  async restricted({ signal }: CallOptions): Promise<readonly Restriction[]> {
    throwIfAborted(signal, 'reading the restrictions');
    return this.table.rules.flatMap((rule) => owned(rule)?.restriction ?? []);
  }

  async check({ signal }: CallOptions): Promise<readonly FirewallDrift[]> {
    throwIfAborted(signal, 'checking the rules');
    this.learnPorts();
    const drift: FirewallDrift[] = [];
    const wanted = this.wanted().filter(owned);
    const actual = this.table.rules.filter(owned);
    const networkOf = (rule: string) => owned(rule)?.network ?? '';
    for (const rule of wanted) {
      if (!actual.includes(rule)) drift.push({ network: networkOf(rule), kind: 'missing', rule });
    }
    for (const [at, rule] of actual.entries()) {
      if (!wanted.includes(rule)) drift.push({ network: networkOf(rule), kind: 'foreign', rule });
      else if (actual.indexOf(rule) < at) drift.push({ network: networkOf(rule), kind: 'duplicate', rule });
    }
    return drift;
  }

  async repair(options: CallOptions): Promise<void> {
    await this.change('repair', options, () => {});
  }

  /** Where the rules send a connection to this port of the host. */
  static translate(
    table: FakeRuleTable,
    protocol: string,
    hostAddress: string,
    hostPort: number,
  ): { readonly address: string; readonly port: number } | undefined {
    for (const rule of table.rules) {
      const match = /^dnat (\w+) (\S+) (\d+)\+(\d+) to (\S+) (\d+)(?: any of (\d+))?/.exec(rule);
      if (!match || match[1] !== protocol) continue;
      const [address, guest] = [match[2], match[5]];
      const [first, count, guestPort, guestCount] = [match[3], match[4], match[6], match[7] ?? 1].map(Number) as [
        number,
        number,
        number,
        number,
      ];
      const anywhere = address === (isIPv6(hostAddress) ? '::' : '0.0.0.0');
      if (!anywhere && address !== hostAddress) continue;
      if (hostPort < first || hostPort >= first + count) continue;
      const any = Math.floor(Math.random() * guestCount);
      return { address: guest as string, port: guestPort + hostPort - first + any };
    }
    return undefined;
  }
}
