import { HyperplugError } from '../../core/errors.js';
import type { PublishedPort } from '../../core/firewall.js';

/** @throws NET_PORT_IN_USE when a port of `port` leads elsewhere already. */
export function conflictWith(port: PublishedPort, others: readonly PublishedPort[]): void {
  const other = others.find((one) => overlaps(port, one));
  if (!other) return;
  const { protocol, hostAddress, hostPort } = port.mapping;
  const [podId, nicId] = other.id.split('/');
  throw new HyperplugError(
    'NET_PORT_IN_USE',
    `hostPort: ${protocol} port ${hostPort} of ${hostAddress} is published by pod ${podId} (NIC ${nicId}) already`,
    {
      details: { field: 'hostPort', received: hostPort, protocol, hostAddress, pod: podId, nic: nicId },
    },
  );
}

function overlaps(a: PublishedPort, b: PublishedPort): boolean {
  if (a.mapping.protocol !== b.mapping.protocol) return false;
  const any = (address: string) => address === '0.0.0.0' || address === '::';
  const six = (address: string) => address.includes(':');
  const [x, y] = [a.mapping, b.mapping];
  if (six(x.hostAddress) !== six(y.hostAddress)) return false;
  if (x.hostAddress !== y.hostAddress && !any(x.hostAddress) && !any(y.hostAddress)) return false;
  return x.hostPort < y.hostPort + y.count && y.hostPort < x.hostPort + x.count;
}
