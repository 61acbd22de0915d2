import { HyperplugError } from '../../../core/errors.js';
import type { PublishedPort } from '../../../core/firewall.js';
import { HYPER_CHAIN, type PlannedRule } from '../network-rules.js';
import { ownedComment, ownedWords } from '../owner.js';
import { markOf } from '../plan.js';
import { portOfMark } from '../port-rules.js';
import { AttributeWriter, attributeOf } from './attributes.js';
import { RULE, writeExpressions } from './expressions.js';
import { type NftRule, sameExpressions } from './rules.js';
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

interface Snapshot {
  readonly generation: number;
  /** Those with a mark of ours, which is without its owner here. */
  readonly rules: readonly NftRule[];
}

/**
 * Rules of published ports straight from and to the kernel, where iptables is the one of nf_tables: a change is one
 * transaction, refused if anybody changed any rule since they were read, and its success is what the kernel shows of each
 * rule that came and went. What was read is good for as long as the kernel's count of changes says so.
 */
export class NftPortTable {
  readonly #socket: NftSocket;
  readonly #writer = new AttributeWriter();
  #known: Snapshot | undefined;

  /** @throws HOST_PERMISSION. */
  constructor(
    private readonly family: 4 | 6,
    netns: string | undefined,
    private readonly owner: string | undefined,
  ) {
    this.#socket = new NftSocket(family, netns);
  }

  close(): void {
    this.#socket.close();
  }

  published(): PublishedPort[] {
    return publishedIn(this.#read().rules);
  }

  /**
   * Takes out the rules of these ports, and puts in those that are planned; neither of them touches any other.
   * @param check throws what the ports that stand are in the way of.
   * @returns false, and nothing is changed: rules that ports need are not there, or some cannot be made this way.
   */
  async change(
    doomed: (id: string) => boolean,
    planned: readonly PlannedRule[],
    needed: readonly PlannedRule[],
    check: (published: readonly PublishedPort[]) => void,
  ): Promise<boolean> {
    const encoded = this.#encode(planned);
    if (!encoded) return false;
    for (let tries = 0; tries < TRIES; tries++) {
      const before = this.#read();
      if (!standing(before.rules, needed)) return false;
      check(publishedIn(before.rules));
      const mine = before.rules.filter(({ comment }) => doomed(portOfMark(comment)?.id ?? ''));
      const stay = sameRules(mine, encoded);
      if (stay || mine.length + encoded.length === 0) return true;
      this.#known = undefined;
      const done = await this.#socket.commit(before.generation, mine, encoded);
      if (!done) continue;
      const gone = new Set(mine.map(({ handle }) => handle));
      if (sameRules(done.added, encoded) && done.deleted.length === mine.length) {
        const rules = [
          ...before.rules.filter(({ handle }) => !gone.has(handle)),
          ...done.added.map((rule) => this.#owned(rule)),
        ];
        this.#known = { generation: next(before.generation), rules };
        return true;
      }
      // Not all echoes came: the rules themselves tell.
      const after = this.#read().rules;
      const now = after.filter(({ comment }) => doomed(portOfMark(comment)?.id ?? ''));
      if (sameRules(now, encoded)) return true;
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
      const rules = CHAINS.flatMap(([table, chain]) => this.#socket.rules(table, chain))
        .map((rule) => this.#owned(rule))
        .filter(({ comment }) => comment?.startsWith('hyperplug '));
      if (this.#socket.generation() !== generation) continue;
      this.#known = { generation, rules };
      return this.#known;
    }
    throw new HyperplugError('FIREWALL_FAILED', `nf_tables: the rules changed ${TRIES} times while they were read`);
  }

  #owned(rule: NftRule): NftRule {
    return { ...rule, comment: ownedComment(rule.comment, this.owner) };
  }

  #encode(planned: readonly PlannedRule[]): NewRule[] | undefined {
    const rules: NewRule[] = [];
    for (const { table, chain, words } of planned) {
      this.#writer.clear();
      if (!writeExpressions(this.#writer, this.family, ownedWords(words, this.owner))) return undefined;
      rules.push({ table, chain, attributes: Buffer.from(this.#writer.bytes) });
    }
    return rules;
  }
}

const next = (generation: number): number => (generation + 1) >>> 0 || 1;

function publishedIn(rules: readonly NftRule[]): PublishedPort[] {
  const ports = new Map<string, PublishedPort>();
  for (const { table, chain, comment } of rules) {
    const port = table === 'nat' && chain === HYPER_CHAIN ? portOfMark(comment) : undefined;
    if (port) ports.set(port.id, port);
  }
  return [...ports.values()];
}

/** Each of these, by its mark, as often as it has to be. */
function standing(rules: readonly NftRule[], needed: readonly PlannedRule[]): boolean {
  const counts = new Map<string, number>();
  for (const rule of needed) {
    const key = `${rule.table} ${rule.chain} ${markOf(rule)}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  for (const { table, chain, comment } of rules) {
    const key = `${table} ${chain} ${comment}`;
    const count = counts.get(key);
    if (count !== undefined) counts.set(key, count - 1);
  }
  return [...counts.values()].every((count) => count === 0);
}

/** Chain by chain in the same order. */
function sameRules(seen: readonly NftRule[], wanted: readonly NewRule[]): boolean {
  if (seen.length !== wanted.length) return false;
  const place = ({ table, chain }: { readonly table: string; readonly chain: string }) => `${table} ${chain}`;
  const left = new Map<string, NftRule[]>();
  for (const rule of seen) {
    const list = left.get(place(rule));
    if (list) list.push(rule);
    else left.set(place(rule), [rule]);
  }
  const next = new Map<string, number>();
  return wanted.every((rule) => {
    const at = next.get(place(rule)) ?? 0;
    next.set(place(rule), at + 1);
    const found = left.get(place(rule))?.[at];
    const expressions = attributeOf(rule.attributes, RULE.EXPRESSIONS);
    return found !== undefined && expressions !== undefined && sameExpressions(expressions, found.expressions);
  });
}
