import { isIPv4 } from 'node:net';
import { IPv4, IPv4CidrRange, IPv6, IPv6CidrRange } from 'ip-num';
import type { InterfaceAddress } from '../../core/network.js';
import { canonicalIpv6, decodeIp, encodeIp } from '../../host/netlink/codec/address.js';

/** A network in CIDR notation and the address its bridge has. */
export interface Subnet {
  readonly family: 4 | 6;
  /** Canonical: `192.168.123.0/24`. */
  readonly cidr: string;
  readonly prefixLength: number;
  readonly range: IPv4CidrRange | IPv6CidrRange;
  /** The first usable one: of /31 and /127 the first of both. */
  readonly gateway: string;
  readonly gatewayAddress: IPv4 | IPv6;
}

export function parseSubnet(cidr: string): Subnet {
  const [address = '', prefix = ''] = cidr.split('/');
  const prefixLength = Number(prefix);
  const family = isIPv4(address) ? 4 : 6;
  const bits = family === 4 ? 32 : 128;
  const range = family === 4 ? IPv4CidrRange.fromCidr(cidr) : IPv6CidrRange.fromCidr(`${expanded(address)}/${prefix}`);
  const first = range.getFirst().getValue();
  const gateway = prefixLength >= bits - 1 ? first : first + 1n;
  return {
    family,
    cidr: `${text(first, family)}/${prefixLength}`,
    prefixLength,
    range,
    gateway: text(gateway, family),
    gatewayAddress: family === 4 ? new IPv4(gateway) : new IPv6(gateway),
  };
}

/** With the first of these addresses that lies in it as its gateway. */
export function withGateway(subnet: Subnet, addresses: readonly InterfaceAddress[]): Subnet {
  const found = addresses.find((one) => one.prefixLength === subnet.prefixLength && contains(subnet, one.address));
  if (!found) return subnet;
  const value = BigInt(`0x${encodeIp(found.address).toString('hex')}`);
  return {
    ...subnet,
    gateway: found.address,
    gatewayAddress: subnet.family === 4 ? new IPv4(value) : new IPv6(value),
  };
}

export function contains({ family, range }: Subnet, address: string): boolean {
  const bytes = encodeIp(address);
  const value = BigInt(`0x${bytes.toString('hex')}`);
  return (
    bytes.length === (family === 4 ? 4 : 16) &&
    value >= range.getFirst().getValue() &&
    value <= range.getLast().getValue()
  );
}

export const bridgeAddress = (subnet: Subnet): InterfaceAddress => ({
  address: subnet.gateway,
  prefixLength: subnet.prefixLength,
});

export function sameAddress(a: InterfaceAddress, b: InterfaceAddress): boolean {
  return a.prefixLength === b.prefixLength && decodeIp(encodeIp(a.address)) === decodeIp(encodeIp(b.address));
}

/** ip-num takes no `::` at every place that RFC 4291 allows. */
const expanded = (address: string): string => {
  const bytes = encodeIp(address);
  return Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16)).join(':');
};

function text(value: bigint, family: 4 | 6): string {
  const bytes = Buffer.from(value.toString(16).padStart(family === 4 ? 8 : 32, '0'), 'hex');
  return family === 4 ? decodeIp(bytes) : canonicalIpv6(decodeIp(bytes));
}
