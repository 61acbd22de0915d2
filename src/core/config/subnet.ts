import { isIPv4, isIPv6, SocketAddress } from 'node:net';

export interface Subnet {
  readonly family: 4 | 6;
  readonly prefixLength: number;
  /** First address, as a number. */
  readonly first: bigint;
  readonly last: bigint;
  /** `10.0.2.0/24`, `fd00::/64`. */
  readonly text: string;
}

/** The subnet, or what is wrong with it in words. Host bits are refused rather than dropped: they mean that something else was meant. */
export function parseSubnet(text: string): Subnet | { readonly expected: string } {
  const match = /^([^/%]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const address = match?.[1] ?? '';
  const family = isIPv4(address) ? 4 : isIPv6(address) ? 6 : undefined;
  if (!match || !family) return { expected: 'a subnet like 192.168.123.0/24 or fd00::/64' };
  const bits = family === 4 ? 32 : 128;
  const prefixLength = Number(match[2]);
  if (prefixLength > bits) return { expected: `a prefix length of at most ${bits}` };
  const value = family === 4 ? ipv4Value(address) : ipv6Value(address);
  const hostMask = (1n << BigInt(bits - prefixLength)) - 1n;
  const first = value & ~hostMask;
  const canonical = `${family === 4 ? ipv4Text(first) : ipv6Text(first)}/${prefixLength}`;
  if (first !== value) return { expected: `a network address, such as ${canonical}` };
  return { family, prefixLength, first, last: first | hostMask, text: canonical };
}

export const overlap = (a: Subnet, b: Subnet): boolean =>
  a.family === b.family && a.first <= b.last && b.first <= a.last;

const ipv4Value = (text: string) => text.split('.').reduce((value, part) => (value << 8n) | BigInt(part), 0n);
const ipv4Text = (value: bigint) => [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.');

function ipv6Value(text: string): bigint {
  // inet_ntop's form has no embedded IPv4 address but for ::ffff:0:0/96 and ::/96.
  let plain = new SocketAddress({ address: text, family: 'ipv6' }).address;
  const dotted = /(\d+\.\d+\.\d+\.\d+)$/.exec(plain)?.[1];
  if (dotted) {
    const low = ipv4Value(dotted);
    plain = plain.replace(dotted, `${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`);
  }
  const [head = '', tail] = plain.split('::');
  const groups = (part: string | undefined) => (part ? part.split(':') : []);
  const [left, right] = [groups(head), groups(tail)];
  const zeros = tail === undefined ? [] : Array<string>(8 - left.length - right.length).fill('0');
  return [...left, ...zeros, ...right].reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

function ipv6Text(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}
