import { isIP } from 'node:net';
import { fieldError } from '../errors.js';
import type { PortMapping, TransportProtocol } from '../network.js';

export interface PortRangeInput {
  readonly hostAddress?: string | undefined;
  /** `8080` or `"8080-8090"`. */
  readonly hostPort: number | string;
  readonly containerPort: number | string;
  readonly protocol: TransportProtocol;
}

/**
 * Ranges are N:N: port p of the host is port p + d of the guest.
 * @throws POD_SPEC_INVALID naming the field below `field`.
 */
export function parsePortRange(input: PortRangeInput, field: string): PortMapping {
  const host = range(input.hostPort, `${field}.hostPort`);
  const guest = range(input.containerPort, `${field}.containerPort`);
  if (host.count !== guest.count) {
    throw fieldError(
      'POD_SPEC_INVALID',
      `${field}.containerPort`,
      `a range of ${host.count} ports, as hostPort`,
      input.containerPort,
    );
  }
  const hostAddress = input.hostAddress ?? '0.0.0.0';
  if (isIP(hostAddress) === 0)
    throw fieldError('POD_SPEC_INVALID', `${field}.hostAddress`, 'an IP address of the host', hostAddress);
  return { protocol: input.protocol, hostAddress, hostPort: host.first, guestPort: guest.first, count: host.count };
}

function range(value: number | string, field: string): { first: number; count: number } {
  const expected = 'a port from 1 to 65535, or a range like 8080-8090';
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(value).trim());
  if (!match) throw fieldError('POD_SPEC_INVALID', field, expected, value);
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  if (first < 1 || last > 65535 || last < first) throw fieldError('POD_SPEC_INVALID', field, expected, value);
  return { first, count: last - first + 1 };
}

/** Whether two mappings have ports of the host in common, whatever their addresses. */
export const hostPortsMeet = (a: PortMapping, b: PortMapping): boolean =>
  a.protocol === b.protocol && a.hostPort < b.hostPort + b.count && b.hostPort < a.hostPort + a.count;

/** Whether two publications want a host port in common. */
export function portsOverlap(a: PortMapping, b: PortMapping): boolean {
  if (!hostPortsMeet(a, b)) return false;
  const any = (address: string) => address === '0.0.0.0' || address === '::';
  const sameFamily = a.hostAddress.includes(':') === b.hostAddress.includes(':');
  return sameFamily && (a.hostAddress === b.hostAddress || any(a.hostAddress) || any(b.hostAddress));
}
