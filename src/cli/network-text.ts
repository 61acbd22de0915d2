import type { InterfaceAddress, PortMapping } from '../core/network.js';
import type { PodNic } from '../core/pod/types.js';

/** `0.0.0.0:8080->80/tcp` */
export function portText(mapping: PortMapping): string {
  const { protocol, guestPort, count } = mapping;
  return `${hostPortText(mapping)}->${rangeText(guestPort, count)}/${protocol}`;
}

/** `[::1]:8080-8090` */
export function hostPortText({ hostAddress, hostPort, count }: PortMapping): string {
  const host = hostAddress.includes(':') ? `[${hostAddress}]` : hostAddress;
  return `${host}:${rangeText(hostPort, count)}`;
}

export function rangeText(first: number, count: number): string {
  return count > 1 ? `${first}-${first + count - 1}` : `${first}`;
}

const addressText = ({ address, prefixLength }: InterfaceAddress): string => `${address}/${prefixLength}`;

/** fe80::/10 (RFC 4291, 2.5.6): the guest's kernel gives itself one on every link that is up. */
const isLinkLocal = ({ address }: InterfaceAddress): boolean => /^fe[89ab]/i.test(address);

export const NIC_HEADER = ['NIC', 'NETWORK', 'NAME', 'MAC', 'MTU', 'STATE', 'ADDRESSES', 'PORTS'];

/** What the guest reports; beside it what is recorded, where that is something else. */
export function nicRow({ id, lease, name, mac, mtu, addresses, ports, guest }: PodNic): string[] {
  const recorded = listed(addresses);
  const told = guest?.addresses.filter((one) => !isLinkLocal(one) || recorded.includes(addressText(one)));
  return [
    id,
    lease?.network ?? '-',
    beside(guest?.name, name ?? guest?.name ?? '-'),
    mac,
    beside(guest?.mtu?.toString(), `${mtu}`),
    guest === null ? 'missing' : guest?.up === undefined ? '-' : guest.up ? 'up' : 'down',
    beside(told && (listed(told).join(', ') || '-'), recorded.join(', ') || '-'),
    ports.map(portText).join(', ') || '-',
  ];
}

const listed = (addresses: readonly InterfaceAddress[]): string[] => addresses.map(addressText).sort();

function beside(told: string | undefined, recorded: string): string {
  return told === undefined || told === recorded ? recorded : `${told} (recorded: ${recorded})`;
}
