import { isIPv6 } from 'node:net';
import type { FirewallNetwork, Restriction } from '../../core/firewall.js';
import { comment, networkMark, ofFamily, type PlannedRule, sourceWords } from './network-rules.js';
import type { SavedRule, Words } from './rule-text.js';

/**
 * Of packets to pods with lists of their own (the original's portmappingWhiteLists) from outside their network. What they let
 * in goes on through FORWARD, so that they only ever take away.
 */
export const RESTRICTION_CHAIN = 'HYPER-ALLOW';

/** Marks of restrictions; with the words of their rules all that reading them back needs. */
const MARK = /^hyperplug (\S+) restricted (\S+) at (\S+)$/;

export const restrictionMark = ({ id, network, guestAddress }: Restriction): string =>
  `hyperplug ${network} restricted ${id} at ${guestAddress}`;

export const isRestrictionMark = (mark: string | undefined): boolean => MARK.test(mark ?? '');

/** Into that chain, above all that lets packets through. */
export const restrictionJump = ({ name, bridge }: FirewallNetwork): PlannedRule => ({
  table: 'filter',
  chain: 'FORWARD',
  words: ['!', '-i', bridge, '-o', bridge, ...comment(networkMark(name, 'restrictions')), '-j', RESTRICTION_CHAIN],
});

const ANSWERS = ['-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED'];
/** What came by a published port. */
const TRANSLATED = ['-m', 'conntrack', '--ctstate', 'DNAT'];

/** Answers, ICMP, all from internal networks, by published ports from external ones; nothing else. */
export function restrictionRules(restriction: Restriction): PlannedRule[] {
  const { guestAddress, allow } = restriction;
  const family = isIPv6(guestAddress) ? 6 : 4;
  const to: Words = ['-d', `${guestAddress}/${family === 6 ? 128 : 32}`];
  const mark = comment(restrictionMark(restriction));
  const rule = (match: Words, target: 'RETURN' | 'DROP'): PlannedRule => ({
    table: 'filter',
    chain: RESTRICTION_CHAIN,
    words: [...match, ...mark, '-j', target],
  });
  const from = (cidrs: readonly string[], ...match: string[]) =>
    ofFamily(cidrs, family).map((cidr) => rule([...sourceWords(cidr), ...to, ...match], 'RETURN'));
  return [
    rule([...to, ...ANSWERS], 'RETURN'),
    rule([...to, '-p', family === 4 ? 'icmp' : 'ipv6-icmp'], 'RETURN'),
    ...from(allow.internal),
    ...from(allow.external, ...TRANSLATED),
    rule(to, 'DROP'),
  ];
}

/** Among saved rules, each once; their lists are those of the rules' family. */
export function restrictedIn(rules: readonly SavedRule[]): Restriction[] {
  const found = new Map<string, Restriction & { readonly allow: { internal: string[]; external: string[] } }>();
  for (const { comment: mark, words } of rules) {
    const [, network, id, guestAddress] = MARK.exec(mark ?? '') ?? [];
    if (mark === undefined || !network || !id || !guestAddress) continue;
    const known = found.get(mark) ?? { id, network, guestAddress, allow: { internal: [], external: [] } };
    found.set(mark, known);
    const everywhere = isIPv6(guestAddress) ? '::/0' : '0.0.0.0/0';
    const source = words[0] === '-s' ? (words[1] as string) : everywhere;
    const state = words[words.indexOf('--ctstate') + 1];
    if (!words.includes('RETURN') || words.includes('-p') || state === ANSWERS[3]) continue;
    known.allow[state === TRANSLATED[3] ? 'external' : 'internal'].push(source);
  }
  return [...found.values()];
}
