import { isIPv6 } from 'node:net';
import type { PublishedPort } from '../../core/firewall.js';
import type { PortMapping } from '../../core/network.js';
import { guestPortCount } from '../../core/pod/ports.js';
import { comment, HYPER_CHAIN, type PlannedRule, sourceWords } from './network-rules.js';
import type { SavedRule, Words } from './rule-text.js';

/** Marks of published ports: all that reading them back needs. */
const MARK = /^hyperplug (\S+) port (\S+) to (\S+) (\d+) x(\d+)(?: any of (\d+))?$/;

export function portMark({ id, network, mapping, guestAddress }: PublishedPort): string {
  const { guestPort, count, guestCount } = mapping;
  const any = guestCount === undefined ? '' : ` any of ${guestCount}`;
  return `hyperplug ${network} port ${id} to ${guestAddress} ${guestPort} x${count}${any}`;
}

/** A published port, from the mark of one of its rules. */
export function portOfMark(mark: string | undefined): PublishedPort | undefined {
  const match = MARK.exec(mark ?? '');
  if (!match) return undefined;
  const [, network = '', id = '', guestAddress = '', guestPort, count, guestCount] = match;
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
    ...(guestCount !== undefined && { guestCount: Number(guestCount) }),
  } as const;
  return { id, network, mapping, guestAddress };
}

/**
 * Two rules for each mapping, ranges too: DNAT to the pod, ACCEPT of what it became (from `sources`, if given: one each). A shifted range is DNAT's base-port form (kernel
 * 4.18, iptables 1.6.2), which maps p to p + d exactly. Where one port leads to any of several, it is `--random`: without
 * it the kernel takes the first as long as that makes a connection of its own (nf_nat_core.c, nf_nat_l4proto_unique_tuple).
 */
export function portRules(port: PublishedPort, bridge: string, sources?: readonly string[]): PlannedRule[] {
  const { mapping, guestAddress } = port;
  const { protocol, hostAddress, hostPort, guestPort, count } = mapping;
  const guestCount = guestPortCount(mapping);
  const six = isIPv6(guestAddress);
  const mark = comment(portMark(port));
  const match = (first: number, ports: number): Words => {
    return ['-p', protocol, '-m', protocol, '--dport', ports === 1 ? `${first}` : `${first}:${first + ports - 1}`];
  };
  const guest = `${guestAddress}/${six ? 128 : 32}`;
  const any = hostAddress === '0.0.0.0' || hostAddress === '::';
  const address = any ? [] : ['-d', `${hostAddress}/${six ? 128 : 32}`];
  return [
    {
      table: 'nat',
      chain: HYPER_CHAIN,
      words: [
        ...address,
        ...match(hostPort, count),
        ...mark,
        '-j',
        'DNAT',
        '--to-destination',
        ...destination(guestAddress, mapping),
      ],
    },
    ...(sources ?? ['0.0.0.0/0']).map(
      (source): PlannedRule => ({
        table: 'filter',
        chain: HYPER_CHAIN,
        words: [
          ...sourceWords(source),
          '-d',
          guest,
          '-o',
          bridge,
          ...match(guestPort, guestCount),
          ...mark,
          '-j',
          'ACCEPT',
        ],
      }),
    ),
  ];
}

function destination(guestAddress: string, { guestPort, hostPort, count, guestCount }: PortMapping): Words {
  const bracketed = isIPv6(guestAddress) ? `[${guestAddress}]` : guestAddress;
  if (guestCount !== undefined) return [`${bracketed}:${guestPort}-${guestPort + guestCount - 1}`, '--random'];
  if (count === 1) return [`${bracketed}:${guestPort}`];
  if (guestPort === hostPort) return [guestAddress];
  return [`${bracketed}:${guestPort}-${guestPort + count - 1}/${hostPort}`];
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
