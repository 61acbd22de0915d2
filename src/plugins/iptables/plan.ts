import type { FirewallDrift, FirewallNetwork, PublishedPort, Restriction } from '../../core/firewall.js';
import {
  allowRules,
  HYPER_CHAIN,
  isOfNetwork,
  isOurs,
  isShared,
  networkRules,
  type PlannedRule,
  pairRules,
  portSources,
  sharedRules,
} from './network-rules.js';
import { portMark, portOfMark, portRules } from './port-rules.js';
import { isRestrictionMark, RESTRICTION_CHAIN, restrictionJump, restrictionRules } from './restriction-rules.js';
import { ruleText, type SavedRule, sameWords, type Words } from './rule-text.js';
import type { Change, RuleSet } from './tables.js';

/** What has to be in one family's tables. */
export interface Wanted {
  readonly family: 4 | 6;
  readonly networks: readonly FirewallNetwork[];
  readonly ports: readonly PublishedPort[];
  readonly restrictions?: readonly Restriction[];
}

/** Ours, there as long as any network is. */
const CHAINS = [
  ['nat', HYPER_CHAIN],
  ['filter', HYPER_CHAIN],
  ['filter', RESTRICTION_CHAIN],
] as const;

const familyOf = (cidr: string): 4 | 6 => (cidr.includes(':') ? 6 : 4);
export const restrictionFamily = ({ guestAddress }: Restriction): 4 | 6 => familyOf(guestAddress);
export const portFamily = (port: PublishedPort): 4 | 6 => familyOf(port.guestAddress);
const hasFamily = (network: FirewallNetwork, family: 4 | 6) =>
  network.subnets.some((cidr) => familyOf(cidr) === family);

interface ChainPlan {
  readonly table: 'filter' | 'nat';
  readonly chain: string;
  readonly rules: readonly PlannedRule[];
}

/** The rules that stand at the top of built-in chains, from the top: what keeps networks apart is above what lets them out. */
export function topRules(wanted: Wanted): PlannedRule[] {
  const networks = wanted.networks.filter((network) => hasFamily(network, wanted.family));
  if (networks.length === 0) return [];
  return [
    ...networks.flatMap((network, index) => pairRules(network, networks.slice(0, index))),
    ...networks.map(restrictionJump),
    ...networks.flatMap((network) => allowRules(network, wanted.family)),
    ...networks.toReversed().flatMap((network) => networkRules(network, wanted.family)),
    ...sharedRules(wanted.family),
  ];
}

/** Marked for networks that are all known here; what keeps one apart from a network of another process is that one's too. */
function isTopRuleOf(mark: string | undefined, networks: readonly FirewallNetwork[]): boolean {
  if (!isOurs(mark) || portOfMark(mark) || isRestrictionMark(mark)) return false;
  if (isShared(mark)) return true;
  const names = (mark?.split(' ')[1] ?? '').split('+');
  return names.every((name) => networks.some((network) => network.name === name));
}

export function portPlan(wanted: Wanted): PlannedRule[] {
  return wanted.ports
    .filter((port) => portFamily(port) === wanted.family)
    .flatMap((port) => {
      const network = wanted.networks.find(({ name }) => name === port.network);
      if (!network || !hasFamily(network, wanted.family)) return [];
      return portRules(port, network.bridge, portSources(network, wanted.family));
    });
}

const restrictionPlan = ({ family, networks, restrictions = [] }: Wanted): PlannedRule[] =>
  restrictions
    .filter((each) => restrictionFamily(each) === family && networks.some(({ name }) => name === each.network))
    .flatMap(restrictionRules);

/** Rules whose chain all share: those of one mark stand together, in their order. */
const markedPlan = (wanted: Wanted): PlannedRule[] => [...portPlan(wanted), ...restrictionPlan(wanted)];

/**
 * The changes that make a rule set what is wanted. A chain where our rules all stand once and in their order is left alone;
 * in another they are taken out and inserted anew at the top. Rules of others are not touched.
 */
export function changesFor(current: RuleSet, wanted: Wanted): Change[] {
  const changes: Change[] = [];
  const any = wanted.networks.some((network) => hasFamily(network, wanted.family));
  for (const [table, chain] of CHAINS) {
    if (any && !current.hasChain(table, chain)) changes.push({ kind: 'chain', table, chain });
  }
  for (const plan of byChain(topRules(wanted))) {
    const standing = current.rules(plan.table, plan.chain).filter((rule) => isTopRuleOf(rule.comment, wanted.networks));
    if (sameRules(standing, plan.rules)) continue;
    changes.push(...standing.map(deletion));
    changes.push(...plan.rules.map((rule, i): Change => ({ kind: 'insert', rule, position: i + 1 })));
  }
  for (const plan of byChain(markedPlan(wanted), markOf)) {
    const mark = plan.rules[0] && markOf(plan.rules[0]);
    const standing = current.rules(plan.table, plan.chain).filter(({ comment }) => comment === mark);
    if (sameRules(standing, plan.rules)) continue;
    changes.push(...standing.map(deletion), ...plan.rules.map((rule): Change => ({ kind: 'append', rule })));
  }
  return changes;
}

/** Takes out the rules whose mark `gone` accepts; and, when no network of the family is left, what all shared. */
export function removalsFor(current: RuleSet, gone: (rule: SavedRule) => boolean): Change[] {
  const ours = current.rules().filter((rule) => isOurs(rule.comment));
  const doomed = ours.filter(gone);
  const left = ours.filter((rule) => !gone(rule) && !isShared(rule.comment));
  const changes = doomed.map(deletion);
  if (left.length > 0) return changes;
  changes.push(...ours.filter((rule) => isShared(rule.comment) && !doomed.includes(rule)).map(deletion));
  for (const [table, chain] of CHAINS) {
    const foreign = current
      .rules(table)
      .some((rule) => !isOurs(rule.comment) && (rule.chain === chain || rule.words.includes(chain)));
    if (current.hasChain(table, chain) && !foreign) changes.push({ kind: 'remove-chain', table, chain });
  }
  return changes;
}

/**
 * What differs. Marks of networks that nobody knows are foreign.
 * @param written the words of a rule as they stand in the kernel, or would.
 */
export function driftOf(
  current: RuleSet,
  wanted: Wanted,
  written: (words: Words) => Words = (words) => words,
): FirewallDrift[] {
  const drift: FirewallDrift[] = [];
  const planned = [...topRules(wanted), ...markedPlan(wanted)];
  const networkOf = (mark: string | undefined) =>
    wanted.networks.find(({ name }) => isOfNetwork(mark, name))?.name ?? mark?.split(' ')[1] ?? '';
  for (const rule of planned) {
    const standing = current.rules(rule.table, rule.chain).filter(({ words }) => sameWords(words, rule.words));
    const text = `-t ${rule.table} ${ruleText(rule.chain, written(rule.words))}`;
    if (standing.length === 0) drift.push({ network: networkOf(markOf(rule)), kind: 'missing', rule: text });
    if (standing.length > 1) drift.push({ network: networkOf(markOf(rule)), kind: 'duplicate', rule: text });
  }
  for (const rule of current.rules()) {
    if (
      !isOurs(rule.comment) ||
      planned.some((one) => one.table === rule.table && one.chain === rule.chain && sameWords(one.words, rule.words))
    )
      continue;
    drift.push({
      network: networkOf(rule.comment),
      kind: 'foreign',
      rule: `-t ${rule.table} ${ruleText(rule.chain, written(rule.words))}`,
    });
  }
  return drift;
}

/** Rules of ours that nothing wanted asks for. */
export function strayRules(current: RuleSet, wanted: Wanted): SavedRule[] {
  const planned = [...topRules(wanted), ...markedPlan(wanted)];
  return current
    .rules()
    .filter(
      (rule) =>
        isOurs(rule.comment) &&
        !planned.some(
          (one) => one.table === rule.table && one.chain === rule.chain && sameWords(one.words, rule.words),
        ),
    );
}

export const isOfPort = (rule: SavedRule, ids: ReadonlySet<string>): boolean =>
  ids.has(portOfMark(rule.comment)?.id ?? '');
export const samePort = (a: PublishedPort, b: PublishedPort): boolean => portMark(a) === portMark(b);

const deletion = ({ table, chain, words }: SavedRule): Change => ({ kind: 'delete', table, chain, words });

export function markOf(rule: PlannedRule): string | undefined {
  return rule.words[rule.words.indexOf('--comment') + 1];
}

const sameRules = (standing: readonly SavedRule[], planned: readonly PlannedRule[]): boolean =>
  standing.length === planned.length && standing.every((rule, i) => sameWords(rule.words, planned[i]?.words ?? []));

function byChain(
  rules: readonly PlannedRule[],
  part: (rule: PlannedRule) => string | undefined = () => undefined,
): ChainPlan[] {
  const chains = new Map<string, { table: 'filter' | 'nat'; chain: string; rules: PlannedRule[] }>();
  for (const rule of rules) {
    const key = `${rule.table} ${rule.chain} ${part(rule) ?? ''}`;
    const plan = chains.get(key) ?? { table: rule.table, chain: rule.chain, rules: [] };
    plan.rules.push(rule);
    chains.set(key, plan);
  }
  return [...chains.values()];
}
