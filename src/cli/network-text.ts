import type { InterfaceAddress, PortMapping } from '../core/network.js';
import { guestPortCount, rangeText } from '../core/pod/ports.js';
import type { PodNic } from '../core/pod/types.js';

/** `0.0.0.0:8080->80/tcp` */
export const portText = (mapping: PortMapping): string =>
  `${hostPortText(mapping)}->${guestPortText(mapping)}/${mapping.protocol}`;

export const guestPortText = (mapping: PortMapping): string => rangeText(mapping.guestPort, guestPortCount(mapping));

/** `[::1]:8080-8090` */
export function hostPortText({ hostAddress, hostPort, count }: PortMapping): string {
  const host = hostAddress.includes(':') ? `[${hostAddress}]` : hostAddress;
  return `${host}:${rangeText(hostPort, count)}`;
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
