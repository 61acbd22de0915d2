import { HyperplugError } from '../../core/errors.js';
import type { PublishedPort } from '../../core/firewall.js';

interface Claim {
  readonly port: PublishedPort;
  readonly isNew: boolean;
}

/** @throws NET_PORT_IN_USE when one of `ports` has what one of `published`, or another of them, has already. */
export function refuseConflicts(ports: readonly PublishedPort[], published: readonly PublishedPort[]): void {
  const ids = new Set(ports.map(({ id }) => id));
  const first = Math.min(...ports.map(({ mapping }) => mapping.hostPort));
  const end = Math.max(...ports.map(({ mapping }) => mapping.hostPort + mapping.count));
  // Of a thousand that stand few are near.
  const near = published.filter(
    ({ id, mapping }) => mapping.hostPort < end && mapping.hostPort + mapping.count > first && !ids.has(id),
  );
  const claims: Claim[] = [
    ...near.map((port) => ({ port, isNew: false })),
    ...ports.map((port) => ({ port, isNew: true })),
  ];
  for (const group of groups(claims)) refuseOverlaps(group);
}

/** Those that could meet at all: of one protocol and family. */
function groups(claims: readonly Claim[]): Claim[][] {
  const found = new Map<string, Claim[]>();
  for (const claim of claims) {
    const { protocol, hostAddress } = claim.port.mapping;
    const key = `${protocol} ${hostAddress.includes(':')}`;
    const group = found.get(key);
    if (group) group.push(claim);
    else found.set(key, [claim]);
  }
  return [...found.values()];
}

/** In the order of their first ports, each meets only those before it that have not ended. */
function refuseOverlaps(group: Claim[]): void {
  group.sort((a, b) => a.port.mapping.hostPort - b.port.mapping.hostPort);
  let open: Claim[] = [];
  for (const claim of group) {
    const { hostPort } = claim.port.mapping;
    open = open.filter(({ port: { mapping } }) => mapping.hostPort + mapping.count > hostPort);
    const other = open.find(
      (each) =>
        (each.isNew || claim.isNew) && sameAddress(each.port.mapping.hostAddress, claim.port.mapping.hostAddress),
    );
    if (other) throw claim.isNew ? conflict(claim.port, other.port) : conflict(other.port, claim.port);
    open.push(claim);
  }
}

const sameAddress = (a: string, b: string): boolean =>
  a === b || [a, b].some((one) => one === '0.0.0.0' || one === '::');

function conflict({ mapping }: PublishedPort, other: PublishedPort): HyperplugError {
  const { protocol, hostAddress, hostPort } = mapping;
  const [podId, nicId] = other.id.split('/');
  return new HyperplugError(
    'NET_PORT_IN_USE',
    `hostPort: ${protocol} port ${hostPort} of ${hostAddress} is published by pod ${podId} (NIC ${nicId}) already`,
    {
      details: { field: 'hostPort', received: hostPort, protocol, hostAddress, pod: podId, nic: nicId },
    },
  );
}
