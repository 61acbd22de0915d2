import { isIP, isIPv4, isIPv6 } from 'node:net';
import { IPv4, IPv4CidrRange, IPv6, IPv6CidrRange } from 'ip-num';

/** A subnet by its numbers. */
export interface Subnet {
  readonly family: 4 | 6;
  readonly prefixLength: number;
  readonly first: bigint;
  readonly last: bigint;
  /** `10.0.0.0/24`, `fd00::/64` */
  readonly text: string;
}

/** undefined: no CIDR. */
export function parseSubnet(text: string): Subnet | undefined {
  const [address = '', prefix = '', ...rest] = text.split('/');
  const family = isIPv4(address) ? 4 : isIPv6(address) ? 6 : undefined;
  const prefixLength = Number(prefix);
  if (!family || rest.length > 0 || !/^[0-9]{1,3}$/.test(prefix) || prefixLength > (family === 4 ? 32 : 128)) {
    return undefined;
  }
  const range = family === 4 ? IPv4CidrRange.fromCidr(text) : IPv6CidrRange.fromCidr(text);
  const [first, last] = [range.getFirst().getValue(), range.getLast().getValue()];
  return { family, prefixLength, first, last, text: `${formatAddress(first, family)}/${prefixLength}` };
}

/** undefined: no address. */
export function parseAddress(text: string): { readonly family: 4 | 6; readonly value: bigint } | undefined {
  const family = isIP(text);
  if (family === 4) return { family, value: IPv4.fromString(text).getValue() };
  if (family === 6 && !text.includes('%')) return { family, value: IPv6.fromString(text).getValue() };
  return undefined;
}

/** RFC 5952. */
export function formatAddress(value: bigint, family: 4 | 6): string {
  if (family === 4) return new IPv4(value).toString();
  // The URL standard writes IPv6 as RFC 5952 does.
  return new URL(`http://[${new IPv6(value).toString()}]`).hostname.slice(1, -1);
}

export function inSubnet(address: string, subnet: Subnet): boolean {
  const parsed = parseAddress(address);
  return parsed?.family === subnet.family && parsed.value >= subnet.first && parsed.value <= subnet.last;
}
