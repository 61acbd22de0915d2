import { HyperplugError } from '../../../core/errors.js';
import type { PublishedPort } from '../../../core/firewall.js';
import { HYPER_CHAIN, isOurs, type PlannedRule } from '../network-rules.js';
import { ownedComment, ownedWords } from '../owner.js';
import { markOf } from '../plan.js';
import { portOfMark } from '../port-rules.js';
import { attributeOf } from './attributes.js';
import { RULE, RuleEncoder } from './expressions.js';
import { commentOf, type NftRule, sameExpressions } from './rules.js';
import { type NewRule, NftSocket } from './socket.js';

/** Where rules of ours stand. */
const CHAINS = [
  ['nat', 'PREROUTING'],
  ['nat', 'OUTPUT'],
  ['nat', 'POSTROUTING'],
  ['nat', HYPER_CHAIN],
  ['filter', 'INPUT'],
  ['filter', 'FORWARD'],
  ['filter', HYPER_CHAIN],
] as const;
const TRIES = 8;

/** A rule of a port, as it stands. */
interface PortRule {
  readonly rule: NftRule;
  readonly port: PublishedPort;
}

interface PlannedPortRule extends NewRule {
  readonly expressions: Buffer;
  readonly port: PublishedPort;
}

/** By id of a port, in the order in which they were read or made. */
type PortRules = Map<string, PortRule[]>;

/** Rules with a mark of ours. */
interface Snapshot {
  readonly generation: number;
  /** Changed in place: nobody looks at a snapshot while a change is made. */
  readonly ports: PortRules;
  /** Those of `ports`, for whoever asks again; undefined: nobody has. */
  list?: readonly PublishedPort[] | undefined;
  /** How often each of the others stands, by `TABLE CHAIN MARK`. */
  readonly others: ReadonlyMap<string, number>;
}

/**
 * Rules of published ports straight from and to the kernel, where iptables is the one of nf_tables: a change is one
 * transaction, refused if anybody changed any rule since they were read, and its success is what the kernel shows of each
 * rule that came and went. What was read is good for as long as the kernel's count of changes says so.
 */
export class NftPortTable {
  readonly #socket: NftSocket;
  readonly #encoder: RuleEncoder;
  #known: Snapshot | undefined;

  /**
   * @param onChange told of each change made here, by the generations before and after it.
   * @throws HOST_PERMISSION.
   */
  constructor(
    family: 4 | 6,
    netns: string | undefined,
    private readonly owner: string | undefined,
    private readonly onChange: (from: number, to: number) => void = () => {},
  ) {
    this.#socket = new NftSocket(family, netns);
    this.#encoder = new RuleEncoder(family);
  }

  close(): void {
    this.#socket.close();
  }

  /** A change elsewhere, of rules that are not among these: what was read stays good. */
  passOver(from: number, to: number): void {
    if (this.#known?.generation === from) this.#known = { ...this.#known, generation: to };
  }

  published(): readonly PublishedPort[] {
    return portsOf(this.#read());
  }

  /**
   * Takes out the rules of these ports, and puts in those that are planned; neither of them touches any other.
   * @param check throws what the ports that stand are in the way of.
   * @returns false, and nothing is changed: rules that ports need are not there, or some cannot be made this way.
   */
  async change(
    doomed: ReadonlySet<string>,
    planned: readonly PlannedRule[],
    needed: readonly PlannedRule[],
    check: (published: readonly PublishedPort[]) => void,
  ): Promise<boolean> {
    const wanted = this.#encode(planned);
    if (!wanted) return false;
    const within = ({ ports }: Snapshot) => [...doomed].flatMap((id) => ports.get(id) ?? []);
    for (let tries = 0; tries < TRIES; tries++) {
      // What was read last may be old: a change is refused then. Whatever else follows from it is looked at anew.
      let before = tries === 0 ? this.#known : undefined;
      let mine = before && within(before);
      if (!before || !mine || sameRules(mine, wanted) || !hasWay(before, needed, check)) {
        before = this.#read();
        if (!standing(before, needed)) return false;
        check(portsOf(before));
        mine = within(before);
        if (sameRules(mine, wanted)) return true;
      }
      this.#known = undefined;
      const done = await this.#socket.commit(
        before.generation,
        mine.map(({ rule }) => rule),
        wanted,
      );
      if (!done) continue;
      const added = pairs(done.added, wanted);
      if (sameRules(added, wanted) && done.deleted.length === mine.length) {
        const { ports, others } = before;
        for (const id of doomed) ports.delete(id);
        for (const each of added) put(ports, each);
        const generation = done.generation ?? next(before.generation);
        this.#known = { generation, ports, others };
        this.onChange(before.generation, generation);
        return true;
      }
      // Not all echoes came: the rules themselves tell.
      if (sameRules(within(this.#read()), wanted)) return true;
      throw new HyperplugError(
        'FIREWALL_FAILED',
        'nf_tables: a change of published ports that was accepted did not show',
      );
    }
    return false;
  }

  #read(): Snapshot {
    for (let tries = 0; tries < TRIES; tries++) {
      const generation = this.#socket.generation();
      if (this.#known?.generation === generation) return this.#known;
      const snapshot = this.#dump(generation);
      if (this.#socket.generation() !== generation) continue;
      this.#known = snapshot;
      return snapshot;
    }
    throw new HyperplugError('FIREWALL_FAILED', `nf_tables: the rules changed ${TRIES} times while they were read`);
  }

  #dump(generation: number): Snapshot {
    const ports: PortRules = new Map();
    const others = new Map<string, number>();
    for (const [table, chain] of CHAINS) {
      for (const rule of this.#socket.rules(table, chain)) {
        const mark = ownedComment(commentOf(rule), this.owner);
        if (!isOurs(mark)) continue;
        const port = portOfMark(mark);
        if (port) put(ports, { rule, port });
        else countIn(others, `${table} ${chain} ${mark}`);
      }
    }
    return { generation, ports, others };
  }

  #encode(planned: readonly PlannedRule[]): PlannedPortRule[] | undefined {
    const rules: PlannedPortRule[] = [];
    let mark: string | undefined;
    let port: PublishedPort | undefined;
    for (const rule of planned) {
      // Rules of one port stand together.
      if (markOf(rule) !== mark) port = portOfMark(markOf(rule));
      mark = markOf(rule);
      const attributes = this.#encoder.encode(ownedWords(rule.words, this.owner));
      if (!port || !attributes) return undefined;
      const expressions = attributeOf(attributes, RULE.EXPRESSIONS) as Buffer;
      rules.push({ table: rule.table, chain: rule.chain, attributes, expressions, port });
    }
    return rules;
  }
}

const next = (generation: number): number => (generation + 1) >>> 0 || 1;

function countIn(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function put(ports: PortRules, each: PortRule): void {
  const { id } = each.port;
  const known = ports.get(id);
  if (known) known.push(each);
  else ports.set(id, [each]);
}

function portsOf(snapshot: Snapshot): readonly PublishedPort[] {
  snapshot.list ??= [...snapshot.ports.values()].flatMap((rules) => {
    const leading = rules.findLast(({ rule }) => rule.table === 'nat' && rule.chain === HYPER_CHAIN);
    return leading ? [leading.port] : [];
  });
  return snapshot.list;
}

/** Whether a change can be made on this ground. */
function hasWay(
  snapshot: Snapshot,
  needed: readonly PlannedRule[],
  check: (published: readonly PublishedPort[]) => void,
): boolean {
  if (!standing(snapshot, needed)) return false;
  try {
    check(portsOf(snapshot));
    return true;
  } catch {
    return false;
  }
}

/** Each of these as often as it has to be. */
function standing({ others }: Snapshot, needed: readonly PlannedRule[]): boolean {
  let counts = countsOf.get(needed);
  if (!counts) {
    counts = new Map();
    for (const rule of needed) countIn(counts, `${rule.table} ${rule.chain} ${markOf(rule)}`);
    countsOf.set(needed, counts);
  }
  for (const [key, count] of counts) if (others.get(key) !== count) return false;
  return true;
}

/** They are the same from one change to the next. */
const countsOf = new WeakMap<readonly PlannedRule[], Map<string, number>>();

/** The kernel echoes rules in the order in which they were sent. */
const pairs = (added: readonly NftRule[], wanted: readonly PlannedPortRule[]): PortRule[] =>
  added.flatMap((rule, index) => (wanted[index] ? [{ rule, port: wanted[index].port }] : []));

/** The same rules, those of each chain in the same order. */
function sameRules(seen: readonly PortRule[], wanted: readonly PlannedPortRule[]): boolean {
  if (seen.length !== wanted.length) return false;
  // As echoes come: all in one order.
  if (wanted.every((rule, at) => isRule(seen[at] as PortRule, rule))) return true;
  return CHAINS.every(([table, chain]) => {
    const here = wanted.filter((rule) => rule.chain === chain && rule.table === table);
    const there = seen.filter(({ rule }) => rule.chain === chain && rule.table === table);
    return here.length === there.length && here.every((each, at) => isRule(there[at] as PortRule, each));
  });
}

const isRule = ({ rule }: PortRule, { table, chain, expressions }: PlannedPortRule): boolean =>
  rule.table === table && rule.chain === chain && sameExpressions(expressions, rule.expressions);
