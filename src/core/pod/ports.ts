import { isIP } from 'node:net';
import { fieldError, HyperplugError } from '../errors.js';
import type { NetworkBackend, PortMapping, TransportProtocol } from '../network.js';

export interface PortRangeInput {
  readonly hostAddress?: string | undefined;
  /** `8080` or `"8080-8090"`. */
  readonly hostPort: number | string;
  readonly containerPort: number | string;
  readonly protocol: TransportProtocol;
}

/**
 * Ranges are N:N, where port p of the host is port p + d of the guest, or 1:N, where each connection goes to one of them.
 * @throws POD_SPEC_INVALID naming the field below `field`.
 */
export function parsePortRange(input: PortRangeInput, field: string): PortMapping {
  const host = range(input.hostPort, `${field}.hostPort`);
  const guest = range(input.containerPort, `${field}.containerPort`);
  if (host.count !== guest.count && host.count > 1) {
    const expected = `a range of ${host.count} ports, as hostPort (ranges are N:N or 1:N, never M:N)`;
    throw fieldError('POD_SPEC_INVALID', `${field}.containerPort`, expected, input.containerPort);
  }
  const hostAddress = input.hostAddress ?? '0.0.0.0';
  if (isIP(hostAddress) === 0)
    throw fieldError('POD_SPEC_INVALID', `${field}.hostAddress`, 'an IP address of the host', hostAddress);
  const { protocol } = input;
  const any = guest.count > host.count && { guestCount: guest.count };
  return { protocol, hostAddress, hostPort: host.first, guestPort: guest.first, count: host.count, ...any };
}

/** @throws NOT_SUPPORTED one of them leads to several ports of the guest, and the network's cannot. */
export function refuseToAny(
  { name, capabilities }: Pick<NetworkBackend, 'name' | 'capabilities'>,
  mappings: readonly PortMapping[],
): void {
  const any = capabilities.publishToAny ? undefined : mappings.find(({ guestCount }) => guestCount !== undefined);
  if (!any) return;
  const received = rangeText(any.guestPort, guestPortCount(any));
  const why = `network ${name} leads a port of the host to one of the pod's (it does not declare publishToAny)`;
  throw new HyperplugError(
    'NOT_SUPPORTED',
    `portmappings.containerPort: expected one port for hostPort ${any.hostPort}, as ${why}, got ${received}`,
    { details: { field: 'portmappings.containerPort', received, hostPort: any.hostPort } },
  );
}

/** How many ports of the guest it leads to. */
export const guestPortCount = ({ count, guestCount = count }: Pick<PortMapping, 'count' | 'guestCount'>): number =>
  guestCount;

/** `8080`, or `8080-8090`. */
export const rangeText = (first: number, count: number): string =>
  count > 1 ? `${first}-${first + count - 1}` : `${first}`;

export const sameMapping = (a: PortMapping, b: PortMapping): boolean =>
  a.protocol === b.protocol &&
  a.hostAddress === b.hostAddress &&
  a.hostPort === b.hostPort &&
  a.guestPort === b.guestPort &&
  a.count === b.count &&
  guestPortCount(a) === guestPortCount(b);

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
