import type { CallOptions } from '../../core/calls.js';
import type { Diagnosis } from '../../core/diagnosis.js';
import { HyperplugError } from '../../core/errors.js';
import type {
  Firewall,
  FirewallCapabilities,
  FirewallDrift,
  FirewallNetwork,
  PublishedPort,
} from '../../core/firewall.js';
import { deepFreeze } from '../../core/json.js';
import type { ToolProvider } from '../../host/tools.js';
import { isOfNetwork } from './network-rules.js';
import type { IptablesOptions } from './options.js';
import { changesFor, driftOf, isOfPort, portFamily, removalsFor, strayRules, type Wanted } from './plan.js';
import { conflictWith } from './port-conflict.js';
import { publishedIn } from './port-rules.js';
import { type RuleSet, Tables } from './tables.js';

export const iptablesCapabilities: FirewallCapabilities = deepFreeze({
  families: [4, 6],
  protocols: ['tcp', 'udp', 'sctp'],
  enforces: true,
  isolation: true,
  localhost: true,
  hairpin: true,
  needsRoot: true,
});

const FAMILIES = [4, 6] as const;

/**
 * The HYPER chains by iptables or ip6tables, whichever kind of them the machine has. The rules themselves say whose they
 * are, so that any process can read, repair and remove them; what this one made it also remembers, to put it back after
 * somebody's flush.
 */
export class IptablesFirewall implements Firewall {
  readonly name = 'iptables';
  readonly capabilities = iptablesCapabilities;
  readonly #tables: Readonly<Record<4 | 6, Tables>>;
  readonly #networks = new Map<string, FirewallNetwork>();
  readonly #ports = new Map<string, PublishedPort>();
  /** One change at a time: each is made from what it read. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param owner whose the rules are; undefined: they bear no such mark. See ownerTag(). */
  constructor(options: IptablesOptions, tools: ToolProvider, owner?: string) {
    const tables = (family: 4 | 6) => new Tables(family, tools, options.variant, options.netns, owner);
    this.#tables = { 4: tables(4), 6: tables(6) };
  }

  configure(networks: readonly FirewallNetwork[], ports?: readonly PublishedPort[]): void {
    this.#networks.clear();
    for (const network of networks) this.#networks.set(network.name, network);
    if (!ports) return;
    this.#ports.clear();
    for (const port of ports) this.#ports.set(port.id, port);
  }

  ensureNetwork(network: FirewallNetwork, call: CallOptions): Promise<void> {
    return this.#serially(async () => {
      const networks = new Map(this.#networks).set(network.name, network);
      for (const family of familiesOf([network])) {
        await this.#settle(family, (current) => changesFor(current, this.#wanted(family, current, networks)), call);
      }
      this.#networks.set(network.name, network);
    });
  }

  removeNetwork(name: string, call: CallOptions): Promise<void> {
    return this.#serially(async () => {
      for (const family of FAMILIES) {
        await this.#settle(family, (current) => removalsFor(current, (rule) => isOfNetwork(rule.comment, name)), call);
      }
      this.#networks.delete(name);
      for (const [id, port] of this.#ports) if (port.network === name) this.#ports.delete(id);
    });
  }

  publish(ports: readonly PublishedPort[], call: CallOptions): Promise<void> {
    return this.#serially(async () => {
      for (const port of ports) this.#known(port);
      const done: (4 | 6)[] = [];
      try {
        for (const family of FAMILIES) {
          const mine = ports.filter((port) => portFamily(port) === family);
          if (mine.length === 0) continue;
          await this.#settle(
            family,
            (current) => {
              const others = publishedIn(current.rules()).filter(({ id }) => !mine.some((port) => port.id === id));
              for (const [index, port] of mine.entries()) conflictWith(port, [...others, ...mine.slice(0, index)]);
              const wanted = this.#wanted(family, current, this.#networks);
              return changesFor(current, {
                ...wanted,
                ports: [...wanted.ports.filter(({ id }) => !mine.some((port) => port.id === id)), ...mine],
              });
            },
            call,
          );
          done.push(family);
        }
      } catch (error) {
        const ids = new Set(ports.map(({ id }) => id));
        const signal = AbortSignal.timeout(30_000);
        for (const family of done)
          await this.#settle(family, (current) => removalsFor(current, (rule) => isOfPort(rule, ids)), { signal });
        throw error;
      }
      for (const port of ports) this.#ports.set(port.id, port);
    });
  }

  unpublish(ids: readonly string[], call: CallOptions): Promise<void> {
    return this.#serially(async () => {
      const doomed = new Set(ids);
      for (const family of FAMILIES) {
        await this.#settle(
          family,
          (current) =>
            current
              .rules()
              .filter((rule) => isOfPort(rule, doomed))
              .map(({ table, chain, words }) => ({ kind: 'delete', table, chain, words })),
          call,
        );
      }
      for (const id of ids) this.#ports.delete(id);
    });
  }

  async published(call: CallOptions): Promise<readonly PublishedPort[]> {
    const sets = await Promise.all(FAMILIES.map((family) => this.#tables[family].read(call)));
    return sets.flatMap((current) => publishedIn(current.rules()));
  }

  async check(call: CallOptions): Promise<readonly FirewallDrift[]> {
    const drift = FAMILIES.map(async (family) => {
      const current = await this.#tables[family].read(call);
      return driftOf(current, this.#wanted(family, current, this.#networks));
    });
    return (await Promise.all(drift)).flat();
  }

  repair(call: CallOptions): Promise<void> {
    return this.#serially(async () => {
      for (const family of FAMILIES) {
        const wanted = (current: RuleSet): Wanted => this.#wanted(family, current, this.#networks);
        await this.#settle(
          family,
          (current) =>
            strayRules(current, wanted(current)).map(({ table, chain, words }) => ({
              kind: 'delete',
              table,
              chain,
              words,
            })),
          call,
        );
        await this.#settle(family, (current) => changesFor(current, wanted(current)), call);
      }
    });
  }

  async diagnose(call: CallOptions): Promise<readonly Diagnosis[]> {
    return Promise.all(
      FAMILIES.map(async (family): Promise<Diagnosis> => {
        const id = family === 4 ? 'iptables.ipv4' : 'iptables.ipv6';
        try {
          const rules = (await this.#tables[family].read(call)).rules();
          return { id, status: 'ok', summary: `the tables can be read: ${rules.length} rules` };
        } catch (error) {
          return {
            id,
            status: 'fail',
            summary: error instanceof Error ? error.message : String(error),
            fix: 'install iptables, and run as root',
          };
        }
      }),
    );
  }

  /** Reads, changes, reads again: what was asked for has to stand there. */
  async #settle(
    family: 4 | 6,
    changes: (current: RuleSet) => ReturnType<typeof changesFor>,
    call: CallOptions,
  ): Promise<void> {
    const tables = this.#tables[family];
    const planned = changes(await tables.read(call));
    if (planned.length === 0) return;
    await tables.apply(planned, call);
    const [left] = changes(await tables.read(call));
    if (!left) return;
    throw new HyperplugError(
      'FIREWALL_FAILED',
      `iptables: a change that was accepted did not show: ${JSON.stringify(left)}`,
      { details: { change: left } },
    );
  }

  #wanted(family: 4 | 6, current: RuleSet, networks: ReadonlyMap<string, FirewallNetwork>): Wanted {
    const ports = new Map(publishedIn(current.rules()).map((port) => [port.id, port]));
    for (const [id, port] of this.#ports) ports.set(id, port);
    return { family, networks: [...networks.values()], ports: [...ports.values()] };
  }

  #known(port: PublishedPort): void {
    if (this.#networks.has(port.network)) return;
    throw new HyperplugError(
      'NET_NOT_FOUND',
      `published port ${port.id}: expected one of the networks ${[...this.#networks.keys()].join(', ')}, got ${port.network}`,
    );
  }

  #serially<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#last.then(body, body);
    this.#last = result.catch(() => {});
    return result;
  }
}

function familiesOf(networks: readonly FirewallNetwork[]): (4 | 6)[] {
  return FAMILIES.filter((family) =>
    networks.some(({ subnets }) => subnets.some((cidr) => cidr.includes(':') === (family === 6))),
  );
}
