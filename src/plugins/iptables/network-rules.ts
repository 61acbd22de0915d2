import type { FirewallNetwork } from '../../core/firewall.js';
import type { Words } from './rule-text.js';

/**
 * The way of a packet, and where our rules stand (the original's, and what they lacked):
 *
 *   from outside  → nat PREROUTING → [to a local address] HYPER: DNAT to the pod
 *   from the host → nat OUTPUT     → [to a local address, 127/8 too] HYPER: DNAT to the pod
 *   forwarded     → filter FORWARD: isolation, then RELATED,ESTABLISHED to the bridge, all from the bridge,
 *                   and for what goes to the bridge HYPER: ACCEPT of published ports; before all but isolation
 *                   HYPER-ALLOW, for pods that say themselves who may come
 *   to the host   → filter INPUT: what claims to come from a pod to 127/8 is dropped (route_localnet opens that way)
 *   leaving       → nat POSTROUTING: MASQUERADE of what leaves the subnet, of what comes from 127/8 to the bridge,
 *                   and of what a pod sends to a published port of its own subnet (hairpin: the answer would else not
 *                   come back the same way), one rule for all ports: a table is the slower to change the more it has
 */
export interface PlannedRule {
  readonly table: 'filter' | 'nat';
  readonly chain: string;
  readonly words: Words;
}

export const HYPER_CHAIN = 'HYPER';
const PREFIX = 'hyperplug';

export const comment = (text: string): Words => ['-m', 'comment', '--comment', text];

/** `hyperplug NETWORK ROLE`: whose a rule is and what for. */
export const networkMark = (network: string, role: string): string => `${PREFIX} ${network} ${role}`;
export const pairMark = (a: string, b: string): string => `${PREFIX} ${[a, b].sort().join('+')} apart`;

export const isOurs = (mark: string | undefined): boolean => mark?.startsWith(`${PREFIX} `) === true;

/** Whether this mark belongs to that network: its own rules, its ports', and those that hold it apart from others. */
export function isOfNetwork(mark: string | undefined, network: string): boolean {
  if (mark === undefined || !isOurs(mark)) return false;
  return (mark.split(' ')[1] ?? '').split('+').includes(network);
}

/** A mark of no network: rules that all share. */
const SHARED = '-';

const jump = (chain: string, family: 4 | 6, role: string, ...words: string[]): PlannedRule => ({
  table: 'nat',
  chain,
  words: [
    ...words,
    '-m',
    'addrtype',
    '--dst-type',
    'LOCAL',
    ...comment(networkMark(SHARED, `${role}-${family}`)),
    '-j',
    HYPER_CHAIN,
  ],
});

/** There as long as any network is. */
export function sharedRules(family: 4 | 6): PlannedRule[] {
  const outside = jump('PREROUTING', family, 'from-outside');
  if (family === 6) return [outside, jump('OUTPUT', family, 'from-host')];
  return [
    outside,
    jump('OUTPUT', family, 'from-host', '!', '-d', '127.0.0.0/8'),
    jump('OUTPUT', family, 'from-localhost', '-d', '127.0.0.0/8'),
  ];
}

export const isShared = (mark: string | undefined): boolean => mark?.startsWith(`${PREFIX} ${SHARED} `) === true;

/** What keeps an isolated network from another one; whichever of both is made later brings it. */
export function pairRules(network: FirewallNetwork, others: readonly FirewallNetwork[]): PlannedRule[] {
  return others.flatMap((other): PlannedRule[] => {
    if (other.name === network.name || (!network.isolated && !other.isolated)) return [];
    const words = [...comment(pairMark(network.name, other.name)), '-j', 'DROP'];
    return [
      { table: 'filter', chain: 'FORWARD', words: ['-i', network.bridge, '-o', other.bridge, ...words] },
      { table: 'filter', chain: 'FORWARD', words: ['-i', other.bridge, '-o', network.bridge, ...words] },
    ];
  });
}

/**
 * Who may come in from outside a network that has an allow-list (the original's portmappingWhiteLists): answers, ICMP,
 * everything from internal networks, published ports; the rest is dropped. Above what lets other networks out.
 */
export function allowRules(network: FirewallNetwork, family: 4 | 6): PlannedRule[] {
  if (!isRestricted(network)) return [];
  const { name, bridge, allow } = network;
  const inwards = ['!', '-i', bridge, '-o', bridge];
  const rule = (role: string, target: string, match: Words, ...words: string[]): PlannedRule => ({
    table: 'filter',
    chain: 'FORWARD',
    words: [...match, ...words, ...comment(networkMark(name, role)), '-j', target],
  });
  const state = ['-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED'];
  return [
    rule('allow-answers', 'ACCEPT', inwards, ...state),
    rule('allow-icmp', 'ACCEPT', inwards, '-p', family === 4 ? 'icmp' : 'ipv6-icmp'),
    ...ofFamily(allow?.internal ?? [], family).map((cidr) =>
      rule(`allow-${cidr}`, 'ACCEPT', [...sourceWords(cidr), ...inwards]),
    ),
    rule('allow-published', HYPER_CHAIN, inwards),
    rule('allow-nothing-else', 'DROP', inwards),
  ];
}

const isRestricted = ({ allow }: FirewallNetwork): boolean =>
  allow !== undefined && allow.internal.length + allow.external.length > 0;

/** Sources from which published ports may be reached; undefined: from everywhere. */
export function portSources(network: FirewallNetwork, family: 4 | 6): readonly string[] | undefined {
  return isRestricted(network) ? ofFamily(network.allow?.external ?? [], family) : undefined;
}

export const ofFamily = (cidrs: readonly string[], family: 4 | 6) =>
  [...new Set(cidrs)].filter((cidr) => cidr.includes(':') === (family === 6));

/** iptables-save leaves out what matches everything. */
export const sourceWords = (cidr: string): Words => (cidr.endsWith('/0') ? [] : ['-s', cidr]);

/** A network's own rules for one family, those of a chain in the order in which they have to stand. */
export function networkRules(network: FirewallNetwork, family: 4 | 6): PlannedRule[] {
  const subnet = network.subnets.find((cidr) => cidr.includes(':') === (family === 6));
  if (!subnet) return [];
  const { name, bridge } = network;
  const mark = (role: string) => comment(networkMark(name, role));
  const filter = (chain: string, ...words: string[]): PlannedRule => ({ table: 'filter', chain, words });
  const nat = (chain: string, ...words: string[]): PlannedRule => ({ table: 'nat', chain, words });
  const led = ['-m', 'conntrack', '--ctstate', 'DNAT'];
  const rules = network.isolated
    ? [filter('FORWARD', '-i', bridge, '-o', bridge, ...mark('isolated'), '-j', 'DROP')]
    : [];
  rules.push(
    filter(
      'FORWARD',
      '-o',
      bridge,
      '-m',
      'conntrack',
      '--ctstate',
      'RELATED,ESTABLISHED',
      ...mark('established'),
      '-j',
      'ACCEPT',
    ),
    filter('FORWARD', '-i', bridge, ...mark('outgoing'), '-j', 'ACCEPT'),
    filter('FORWARD', '-o', bridge, ...mark('published'), '-j', HYPER_CHAIN),
    nat('POSTROUTING', '-s', subnet, '!', '-o', bridge, ...mark('masquerade'), '-j', 'MASQUERADE'),
    nat('POSTROUTING', '-s', subnet, '-d', subnet, '-o', bridge, ...led, ...mark('hairpin'), '-j', 'MASQUERADE'),
  );
  if (family === 6) return rules;
  const fresh = ['-m', 'conntrack', '!', '--ctstate', 'RELATED,ESTABLISHED,DNAT'];
  rules.push(
    nat('POSTROUTING', '-s', '127.0.0.0/8', '-o', bridge, ...mark('localhost'), '-j', 'MASQUERADE'),
    filter('INPUT', '-d', '127.0.0.0/8', '-i', bridge, ...fresh, ...mark('no-localhost'), '-j', 'DROP'),
  );
  return rules;
}
