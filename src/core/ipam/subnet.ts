import { createRequire } from 'node:module';
import type { IpAddress, IpRange, PoolNetwork } from '../address-pool.js';
import type { ErrorCode } from '../error-codes.js';
import { fieldError } from '../errors.js';
import { type Family, familyBits, formatAddress, parseAddress, parseAddressWithPrefix } from './address-text.js';
import { SHORTEST_PREFIX } from './limits.js';

/** A network in numbers. Whichever of its addresses named it, `base` is its first and `key` its canonical text. */
export interface Subnet {
  readonly family: Family;
  readonly base: bigint;
  readonly prefixLength: number;
  readonly size: bigint;
  /** `10.1.0.0/16`, `fd00::/64`. */
  readonly key: string;
}

/** What of a subnet can be allocated; all are offsets from its base. */
export interface PoolLayout {
  readonly subnet: Subnet;
  readonly first: bigint;
  readonly last: bigint;
  /** Network, broadcast, subnet-router anycast, gateways; ascending. They may lie outside `first` to `last`. */
  readonly reserved: readonly bigint[];
  /** Canonical text of the restriction; null: none. */
  readonly restrictTo: string | null;
  readonly capacity: bigint;
}

/** Of ranges that were asked for: ip-num makes addresses and masks anew to tell. */
const known = new WeakMap<IpRange, Subnet>();

/** @throws IPAM_SUBNET_INVALID when it is no range of ip-num, or too large to allocate from. */
export function subnetOf(range: IpRange, field = 'range'): Subnet {
  const found = known.get(range);
  if (found) return found;
  const subnet = cidrOf(range, field);
  const shortest = SHORTEST_PREFIX[subnet.family];
  if (subnet.prefixLength < shortest) {
    throw fieldError('IPAM_SUBNET_INVALID', field, `a prefix of /${shortest} or longer`, subnet.key);
  }
  known.set(range, subnet);
  return subnet;
}

/** Duck-typed: the caller's ip-num may be another copy than ours. */
function cidrOf(range: IpRange, field: string): Subnet {
  let value: unknown;
  let bits: unknown;
  let prefix: unknown;
  try {
    const first = range.getFirst();
    value = first.getValue();
    bits = first.bitSize;
    prefix = Number(range.getPrefix().getValue());
  } catch {
    throw fieldError('IPAM_SUBNET_INVALID', field, 'an IPv4CidrRange or IPv6CidrRange', range);
  }
  if (typeof value !== 'bigint' || (bits !== 32 && bits !== 128) || !isPrefix(prefix, bits)) {
    throw fieldError('IPAM_SUBNET_INVALID', field, 'an IPv4CidrRange or IPv6CidrRange', range);
  }
  return subnetFrom(bits === 32 ? 4 : 6, value, prefix);
}

const isPrefix = (value: unknown, bits: number): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= bits;

function subnetFrom(family: Family, value: bigint, prefixLength: number): Subnet {
  const hostBits = BigInt(familyBits(family) - prefixLength);
  const base = (value >> hostBits) << hostBits;
  return { family, base, prefixLength, size: 1n << hostBits, key: `${formatAddress(family, base)}/${prefixLength}` };
}

/**
 * Text as in a configuration: `10.1.0.0/16`. Host bits may be set (they name the same network); the prefix must be there.
 * @throws `code` naming `field`.
 */
export function parseSubnet(text: unknown, field: string, code: ErrorCode = 'IPAM_SUBNET_INVALID'): Subnet {
  const { family, value, prefixLength } = parseAddressWithPrefix(text, field, code);
  if (prefixLength === undefined)
    throw fieldError(code, field, 'a network with its prefix length (ADDRESS/LENGTH)', text);
  return subnetFrom(family, value, prefixLength);
}

/** parseSubnet() as the type that an AddressPool takes. */
export function parseRange(text: unknown, field: string, code: ErrorCode = 'IPAM_SUBNET_INVALID'): IpRange {
  const { family, key } = parseSubnet(text, field, code);
  // On first use: most runs of the program need none of it, and it takes 20 ms to load.
  const { IPv4CidrRange, IPv6CidrRange } = createRequire(import.meta.url)('ip-num') as typeof import('ip-num');
  return family === 4 ? IPv4CidrRange.fromCidr(key) : IPv6CidrRange.fromCidr(key);
}

/** @throws IPAM_SUBNET_INVALID when a part does not fit, or nothing is left to allocate. */
export function layoutOf(network: PoolNetwork): PoolLayout {
  const subnet = subnetOf(network.range);
  const part = network.restrictTo === undefined ? undefined : cidrOf(network.restrictTo, 'restrictTo');
  const gateways = network.reserved.map((address, index) => reservedOffset(subnet, address, `reserved[${index}]`));
  return makeLayout(subnet, checkedPart(subnet, part), gateways);
}

/** The layout from what was stored of it. @throws IPAM_SUBNET_INVALID, IPAM_ADDRESS_INVALID. */
export function layoutFromText(key: string, restrictTo: string | null, reserved: readonly string[]): PoolLayout {
  const subnet = parseSubnet(key, 'range');
  const restriction = restrictTo === null ? undefined : parseSubnet(restrictTo, 'restrictTo');
  const offsets = reserved.map((text, index) => {
    const { family, value } = parseAddress(text, `reserved[${index}]`);
    return offsetIn(subnet, family, value, `reserved[${index}]`);
  });
  return makeLayout(subnet, checkedPart(subnet, restriction), offsets);
}

function checkedPart(subnet: Subnet, part: Subnet | undefined): Subnet | undefined {
  if (part && !contains(subnet, part)) {
    throw fieldError('IPAM_SUBNET_INVALID', 'restrictTo', `a part of ${subnet.key}`, part.key);
  }
  return part?.key === subnet.key ? undefined : part;
}

function makeLayout(subnet: Subnet, restriction: Subnet | undefined, gateways: readonly bigint[]): PoolLayout {
  const first = restriction ? restriction.base - subnet.base : 0n;
  const last = first + (restriction?.size ?? subnet.size) - 1n;
  const unique = new Set([...edges(subnet), ...gateways]);
  const reserved = [...unique].sort((one, other) => (one < other ? -1 : one > other ? 1 : 0));
  const within = reserved.filter((offset) => offset >= first && offset <= last).length;
  const capacity = last - first + 1n - BigInt(within);
  if (capacity <= 0n) {
    const part = restriction ? `${subnet.key} restricted to ${restriction.key}` : subnet.key;
    throw fieldError('IPAM_SUBNET_INVALID', 'range', 'at least one address that is not reserved', part);
  }
  return { subnet, first, last, reserved, restrictTo: restriction?.key ?? null, capacity };
}

/**
 * Offsets that no host may have: network and broadcast (RFC 919; not of /31, RFC 3021, nor /32), and the subnet-router
 * anycast address of IPv6 (RFC 4291 section 2.6.1; not of /127, RFC 6164, nor /128).
 */
function edges(subnet: Subnet): readonly bigint[] {
  if (subnet.size <= 2n) return [];
  return subnet.family === 4 ? [0n, subnet.size - 1n] : [0n];
}

function reservedOffset(subnet: Subnet, address: IpAddress, field: string): bigint {
  const value: unknown = address?.getValue?.();
  if (typeof value !== 'bigint') throw fieldError('IPAM_SUBNET_INVALID', field, 'an IPv4 or IPv6', address);
  return offsetIn(subnet, address.bitSize === 32 ? 4 : 6, value, field);
}

function offsetIn(subnet: Subnet, family: Family, value: bigint, field: string): bigint {
  if (family === subnet.family && inside(subnet, value)) return value - subnet.base;
  throw fieldError('IPAM_SUBNET_INVALID', field, `an address of ${subnet.key}`, formatAddress(family, value));
}

export function inside(subnet: Subnet, value: bigint): boolean {
  return value >= subnet.base && value < subnet.base + subnet.size;
}

const contains = (outer: Subnet, inner: Subnet) =>
  outer.family === inner.family && inner.prefixLength >= outer.prefixLength && inside(outer, inner.base);

export const sameLayout = (one: PoolLayout, other: PoolLayout) =>
  one.restrictTo === other.restrictTo && one.reserved.join() === other.reserved.join();
