import { isIPv4, isIPv6 } from 'node:net';
import type { InterfaceAddress } from '../../core/network.js';

/** One text for one address: `FD00::0:1` → `fd00::1`. What is no address is given back as it is. */
export function canonicalAddress(text: string): string {
  // Node's test compiles an expression for some 10 ms at its first use: not for what cannot be one.
  if (!text.includes(':') || text.includes('%') || !isIPv6(text)) return text;
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

export function sameAddress(one: InterfaceAddress, other: InterfaceAddress): boolean {
  return one.prefixLength === other.prefixLength && canonicalAddress(one.address) === canonicalAddress(other.address);
}

/** 24 → `255.255.255.0`. */
export function netmask(prefixLength: number): string {
  const bits = prefixLength === 0 ? 0 : (0xffff_ffff << (32 - prefixLength)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join('.');
}

/** IPv4, or a CIDR of it, or `default`. */
export function speaksIpv4(text: string): boolean {
  return text === 'default' || isIPv4(text.split('/')[0] ?? '');
}
