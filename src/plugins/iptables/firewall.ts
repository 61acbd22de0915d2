import { type CallOptions, throwIfAborted } from '../../core/calls.js';
import type { Diagnosis } from '../../core/diagnosis.js';
import { HyperplugError, hasCode } from '../../core/errors.js';
import type { Firewall, FirewallDrift, FirewallNetwork, PublishedPort, Restriction } from '../../core/firewall.js';
import type { ToolProvider } from '../../host/tools.js';
import { iptablesCapabilities } from './capabilities.js';
import { isOfNetwork, type PlannedRule } from './network-rules.js';
import { NftChooser } from './nft/chooser.js';
import type { IptablesOptions } from './options.js';
import { OtherVariant } from './other-variant.js';
import { ownedWords } from './owner.js';
import {
  changesFor,
  driftOf,
  isOfPort,
  portFamily,
  portPlan,
  removalsFor,
  restrictionFamily,
  strayRules,
  topRules,
  type Wanted,
} from './plan.js';
import { refuseConflicts } from './port-conflict.js';
import { publishedIn } from './port-rules.js';
import { restrictedIn, restrictionMark } from './restriction-rules.js';
import type { SavedRule } from './rule-text.js';
import { type Change, type RuleSet, Tables } from './tables.js';

const FAMILIES = [4, 6] as const;

/**
 * The HYPER chains by iptables or ip6tables, whichever kind of them the machine has. The rules themselves say whose they
 * are, so that any process can read, repair and remove them; what this one made it also remembers, to put it back after
 * somebody's flush.
 */
export class IptablesFirewall implements Firewall {
  readonly name = 'iptables';
  readonly capabilities = iptablesCapabilities;
  readonly netnsPath: string | undefined;
  readonly #tables: Readonly<Record<4 | 6, Tables>>;
  readonly #nft: NftChooser;
  readonly #other: OtherVariant;
  readonly #networks = new Map<string, FirewallNetwork>();
  readonly #ports = new Map<string, PublishedPort>();
  /** By mark. */
  readonly #restrictions = new Map<string, Restriction>();
  /** What stands on top of chains for these networks; made when asked for. */
  readonly #top = new Map<4 | 6, readonly PlannedRule[]>();
  /** One change at a time: each is made from what it read. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param owner whose the rules are; undefined: they bear no such mark. See ownerTag(). */
  constructor(
    options: IptablesOptions,
    tools: ToolProvider,
    private readonly owner?: string,
  ) {
    const tables = (family: 4 | 6) => new Tables(family, tools, options.variant, options.netns, owner);
    this.#tables = { 4: tables(4), 6: tables(6) };
    this.#nft = new NftChooser(options, tools, owner);
    this.#other = new OtherVariant(options, tools, this.#nft, owner);
    this.netnsPath = options.netns;
  }

  async stop(): Promise<void> {
    await this.#last;
    this.#nft.close();
  }

  configure(
    networks: readonly FirewallNetwork[],
    ports?: readonly PublishedPort[],
    restrictions?: readonly Restriction[],
  ): void {
    this.#networks.clear();
    this.#top.clear();
    for (const network of networks) this.#networks.set(network.name, network);
    if (ports) this.#ports.clear();
    for (const port of ports ?? []) this.#ports.set(port.id, port);
    if (restrictions) this.#restrictions.clear();
    for (const each of restrictions ?? []) this.#restrictions.set(restrictionMark(each), each);
  }

  ensureNetwork(network: FirewallNetwork, call: CallOptions): Promise<void> {
    return this.#serially(async () => {
      const networks = new Map(this.#networks).set(network.name, network);
      for (const family of familiesOf([network])) {
        await this.#settle(family, (current) => changesFor(current, this.#wanted(family, current, networks)), call);
      }
      this.#networks.set(network.name, network);
      this.#top.clear();
    });
  }

  removeNetwork(name: string, call: CallOptions): Promise<void> {
    return this.#serially(async () => {
      for (const family of FAMILIES) {
        await this.#settle(family, (current) => removalsFor(current, (rule) => isOfNetwork(rule.comment, name)), call);
        await this.#other.remove(family, name, call);
      }
      this.#networks.delete(name);
      this.#top.clear();
      for (const known of [this.#ports, this.#restrictions]) {
        for (const [key, { network }] of known) if (network === name) known.delete(key);
      }
    });
  }

  publish(ports: readonly PublishedPort[], call: CallOptions): Promise<void> {
    return this.#serially(async () => {
      throwIfAborted(call.signal, 'publish ports');
      for (const port of ports) this.#known(`published port ${port.id}`, port.network);
      const done: (4 | 6)[] = [];
      try {
        for (const family of FAMILIES) {
          const mine = ports.filter((port) => portFamily(port) === family);
          if (mine.length === 0) continue;
          if (!(await this.#publishByNetlink(family, mine, call))) await this.#publishByIptables(family, mine, call);
          done.push(family);
        }
      } catch (error) {
        const signal = AbortSignal.timeout(30_000);
        const ids = new Set(ports.map(({ id }) => id));
        for (const family of done) await this.#withdraw(family, ids, { signal });
        throw error;
      }
      for (const port of ports) this.#ports.set(port.id, port);
    });
  }

  unpublish(ids: readonly string[], call: CallOptions): Promise<void> {
    return this.#serially(async () => {
      throwIfAborted(call.signal, 'unpublish ports');
      const doomed = new Set(ids);
      for (const family of FAMILIES) await this.#withdraw(family, doomed, call);
      for (const id of ids) this.#ports.delete(id);
    });
  }

  async published(call: CallOptions): Promise<readonly PublishedPort[]> {
    const found = await Promise.all(
      FAMILIES.map(async (family) => {
        const table = await this.#nft.table(family, call);
        return table?.published() ?? publishedIn((await this.#tables[family].read(call)).rules());
      }),
    );
    return found.flat();
  }

  restrict(restrictions: readonly Restriction[], call: CallOptions): Promise<void> {
    return this.#serially(async () => {
      throwIfAborted(call.signal, 'restrict');
      for (const each of restrictions) this.#known(`restriction ${each.id}`, each.network);
      const done: (4 | 6)[] = [];
      const ids = new Set(restrictions.map(({ id }) => id));
      try {
        for (const family of FAMILIES) {
          const mine = restrictions.filter((each) => restrictionFamily(each) === family);
          if (mine.length === 0) continue;
          done.push(family);
          const changes = (current: RuleSet) => {
            const wanted = this.#wanted(family, current, this.#networks);
            const others = (wanted.restrictions ?? []).filter(({ id }) => !mine.some((each) => each.id === id));
            const old = restrictedIn(current.rules()).filter((each) => ids.has(each.id));
            const moved = old.filter((each) => !mine.some((one) => restrictionMark(one) === restrictionMark(each)));
            const stale = new Set(moved.map(restrictionMark));
            return [
              ...removalsOf(current.rules().filter(({ comment }) => stale.has(comment ?? ''))),
              ...changesFor(current, { ...wanted, restrictions: [...others, ...mine] }),
            ];
          };
          await this.#settle(family, changes, call);
        }
      } catch (error) {
        for (const family of done) await this.#unrestrict(family, ids, { signal: AbortSignal.timeout(30_000) });
        throw error;
      }
      this.#forgetRestrictions(ids);
      for (const each of restrictions) this.#restrictions.set(restrictionMark(each), each);
    });
  }

  unrestrict(ids: readonly string[], call: CallOptions): Promise<void> {
    return this.#serially(async () => {
      throwIfAborted(call.signal, 'unrestrict');
      const doomed = new Set(ids);
      for (const family of FAMILIES) await this.#unrestrict(family, doomed, call);
      this.#forgetRestrictions(doomed);
    });
  }

  async restricted(call: CallOptions): Promise<readonly Restriction[]> {
    const found = FAMILIES.map(async (family) => restrictedIn((await this.#tables[family].read(call)).rules()));
    return (await Promise.all(found)).flat();
  }

  #unrestrict(family: 4 | 6, ids: ReadonlySet<string>, call: CallOptions): Promise<void> {
    const changes = (current: RuleSet) => {
      const rules = current.rules();
      const doomed = restrictedIn(rules).filter(({ id }) => ids.has(id));
      const marks = new Set(doomed.map(restrictionMark));
      return removalsOf(rules.filter(({ comment }) => marks.has(comment ?? '')));
    };
    return this.#settle(family, changes, call);
  }

  #forgetRestrictions(ids: ReadonlySet<string>): void {
    for (const [mark, { id }] of this.#restrictions) if (ids.has(id)) this.#restrictions.delete(mark);
  }

  async check(call: CallOptions): Promise<readonly FirewallDrift[]> {
    const drift = FAMILIES.map(async (family) => {
      const current = await this.#tables[family].read(call);
      const wanted = this.#wanted(family, current, this.#networks);
      return [
        ...driftOf(current, wanted, (words) => ownedWords(words, this.owner)),
        ...(await this.#other.drift(family, call)),
      ];
    });
    return (await Promise.all(drift)).flat();
  }

  repair(call: CallOptions): Promise<void> {
    return this.#serially(async () => {
      for (const family of FAMILIES) {
        const wanted = (current: RuleSet): Wanted => this.#wanted(family, current, this.#networks);
        await this.#settle(family, (current) => removalsOf(strayRules(current, wanted(current))), call);
        await this.#settle(family, (current) => changesFor(current, wanted(current)), call);
        await this.#other.remove(family, undefined, call);
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
            fix: 'install iptables, and run as root, or with --rootless',
          };
        }
      }),
    );
  }

  /** False: not this way. */
  async #publishByNetlink(family: 4 | 6, ports: readonly PublishedPort[], call: CallOptions): Promise<boolean> {
    const table = await this.#nft.table(family, call);
    if (!table) return false;
    const wanted = { family, networks: [...this.#networks.values()], ports };
    const ids = new Set(ports.map(({ id }) => id));
    return this.#unlessRefused(() =>
      table.change(ids, portPlan(wanted), this.#topRules(family), (published) => refuseConflicts(ports, published)),
    );
  }

  #publishByIptables(family: 4 | 6, ports: readonly PublishedPort[], call: CallOptions): Promise<void> {
    const isMine = ({ id }: PublishedPort) => ports.some((port) => port.id === id);
    return this.#settle(
      family,
      (current) => {
        refuseConflicts(ports, publishedIn(current.rules()));
        const wanted = this.#wanted(family, current, this.#networks);
        return changesFor(current, { ...wanted, ports: [...wanted.ports.filter((port) => !isMine(port)), ...ports] });
      },
      call,
    );
  }

  async #withdraw(family: 4 | 6, ids: ReadonlySet<string>, call: CallOptions): Promise<void> {
    const table = await this.#nft.table(family, call);
    const gone = table && (await this.#unlessRefused(() => table.change(ids, [], [], () => {})));
    if (!gone)
      await this.#settle(family, (current) => removalsOf(current.rules().filter((rule) => isOfPort(rule, ids))), call);
  }

  /** What the kernel refuses is left to iptables, which has words for why. */
  async #unlessRefused(change: () => Promise<boolean>): Promise<boolean> {
    try {
      return await change();
    } catch (error) {
      if (hasCode(error, 'NET_KERNEL_REFUSED')) return false;
      throw error;
    }
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
    const restrictions = new Map(restrictedIn(current.rules()).map((each) => [restrictionMark(each), each]));
    for (const [mark, each] of this.#restrictions) restrictions.set(mark, each);
    return {
      family,
      // Their rules are in one order, whichever of them came first.
      networks: [...networks.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
      ports: [...ports.values()],
      restrictions: [...restrictions.values()],
    };
  }

  #topRules(family: 4 | 6): readonly PlannedRule[] {
    let rules = this.#top.get(family);
    if (!rules) {
      rules = topRules({ family, networks: [...this.#networks.values()], ports: [] });
      this.#top.set(family, rules);
    }
    return rules;
  }

  #known(what: string, network: string): void {
    if (this.#networks.has(network)) return;
    throw new HyperplugError(
      'NET_NOT_FOUND',
      `${what}: expected one of the networks ${[...this.#networks.keys()].join(', ')}, got ${network}`,
    );
  }

  #serially<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#last.then(body, body);
    this.#last = result.catch(() => {});
    return result;
  }
}

const removalsOf = (rules: readonly SavedRule[]): Change[] =>
  rules.map(({ table, chain, words }) => ({ kind: 'delete', table, chain, words }));

function familiesOf(networks: readonly FirewallNetwork[]): (4 | 6)[] {
  return FAMILIES.filter((family) =>
    networks.some(({ subnets }) => subnets.some((cidr) => cidr.includes(':') === (family === 6))),
  );
}
