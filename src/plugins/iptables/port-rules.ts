import { isIPv6 } from 'node:net';
import type { PublishedPort } from '../../core/firewall.js';
import { comment, HYPER_CHAIN, type PlannedRule, sourceWords } from './network-rules.js';
import type { SavedRule, Words } from './rule-text.js';

/** Marks of published ports: all that reading them back needs. */
const MARK = /^hyperplug (\S+) port (\S+) to (\S+) (\d+) x(\d+)$/;

export function portMark({ id, network, mapping, guestAddress }: PublishedPort): string {
  return `hyperplug ${network} port ${id} to ${guestAddress} ${mapping.guestPort} x${mapping.count}`;
}

/** A published port, from the mark of one of its rules. */
export function portOfMark(mark: string | undefined): PublishedPort | undefined {
  const match = MARK.exec(mark ?? '');
  if (!match) return undefined;
  const [, network = '', id = '', guestAddress = '', guestPort, count] = match;
  const [podId, nicId, protocol, hostAddress, hostPort] = id.split('/');
  if (
    !podId ||
    !nicId ||
    (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') ||
    !hostAddress ||
    !hostPort
  )
    return undefined;
  const mapping = {
    protocol,
    hostAddress,
    hostPort: Number(hostPort),
    guestPort: Number(guestPort),
    count: Number(count),
  } as const;
  return { id, network, mapping, guestAddress };
}

/**
 * Three rules for each mapping, ranges too: DNAT to the pod, ACCEPT of what it became (from `sources`, if given: one each), MASQUERADE where a pod of the same
 * network asked (its answer would else not come back the same way). A shifted range is DNAT's base-port form (kernel
 * 4.18, iptables 1.6.2), which maps p to p + d exactly.
 */
export function portRules(
  port: PublishedPort,
  bridge: string,
  subnet: string,
  sources?: readonly string[],
): PlannedRule[] {
  const { mapping, guestAddress } = port;
  const { protocol, hostAddress, hostPort, guestPort, count } = mapping;
  const six = isIPv6(guestAddress);
  const mark = comment(portMark(port));
  const range = (first: number) => (count === 1 ? String(first) : `${first}:${first + count - 1}`);
  const match = (first: number): Words => ['-p', protocol, '-m', protocol, '--dport', range(first)];
  const guest = `${guestAddress}/${six ? 128 : 32}`;
  const any = hostAddress === '0.0.0.0' || hostAddress === '::';
  const address = any ? [] : ['-d', `${hostAddress}/${six ? 128 : 32}`];
  return [
    {
      table: 'nat',
      chain: HYPER_CHAIN,
      words: [
        ...address,
        ...match(hostPort),
        ...mark,
        '-j',
        'DNAT',
        '--to-destination',
        destination(guestAddress, guestPort, hostPort, count),
      ],
    },
    ...(sources ?? ['0.0.0.0/0']).map(
      (source): PlannedRule => ({
        table: 'filter',
        chain: HYPER_CHAIN,
        words: [...sourceWords(source), '-d', guest, '-o', bridge, ...match(guestPort), ...mark, '-j', 'ACCEPT'],
      }),
    ),
    {
      table: 'nat',
      chain: 'POSTROUTING',
      words: ['-s', subnet, '-d', guest, '-o', bridge, ...match(guestPort), ...mark, '-j', 'MASQUERADE'],
    },
  ];
}

function destination(guestAddress: string, guestPort: number, hostPort: number, count: number): string {
  const bracketed = isIPv6(guestAddress) ? `[${guestAddress}]` : guestAddress;
  if (count === 1) return `${bracketed}:${guestPort}`;
  if (guestPort === hostPort) return guestAddress;
  return `${bracketed}:${guestPort}-${guestPort + count - 1}/${hostPort}`;
}

/** Published ports among saved rules, each once. */
export function publishedIn(rules: readonly SavedRule[]): PublishedPort[] {
  const ports = new Map<string, PublishedPort>();
  for (const rule of rules) {
    const port = rule.chain === HYPER_CHAIN && rule.table === 'nat' ? portOfMark(rule.comment) : undefined;
    if (port) ports.set(port.id, port);
  }
  return [...ports.values()];
}
