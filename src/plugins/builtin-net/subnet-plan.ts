import { isIPv4, isIPv6 } from 'node:net';
import { fieldError } from '../../core/errors.js';
import type { BuiltinFamily } from '../../core/hypervisor.js';
import { formatAddress, parseAddress } from '../../core/ipam/address-text.js';

/** One subnet of a network, with the places QEMU's user network gives to itself (net/slirp.c: host .2, DNS .3). */
export interface SubnetPlan {
  readonly family: 4 | 6;
  /** Its addresses as numbers, the broadcast address of IPv4 included. */
  readonly first: bigint;
  readonly last: bigint;
  /** Canonical CIDR. */
  readonly subnet: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly dns: string;
  /** What a NIC gets that asks for nothing: QEMU's own .15, or the last usable address of a small subnet. */
  readonly guest: string;
}

const GATEWAY = 2n;
const DNS = 3n;
const GUEST = 15n;
const IPV4_PREFIXES = { min: 8, max: 29 };
/** The guest's address is announced by router advertisement, which takes 64 bits (RFC 4862). */
const IPV6_PREFIX = 64;

/** @throws NET_SPEC_INVALID naming `field`. */
export function planSubnet(field: string, text: string): SubnetPlan {
  const [address = '', prefix = ''] = text.split('/');
  const family = isIPv4(address) ? 4 : isIPv6(address) ? 6 : undefined;
  if (family === undefined || !/^\d{1,3}$/.test(prefix)) {
    throw fieldError('NET_SPEC_INVALID', field, 'a subnet like 10.0.2.0/24 or fd00::/64', text);
  }
  const prefixLength = Number(prefix);
  if (family === 4 && (prefixLength < IPV4_PREFIXES.min || prefixLength > IPV4_PREFIXES.max)) {
    throw fieldError('NET_SPEC_INVALID', field, `an IPv4 prefix of ${IPV4_PREFIXES.min} to ${IPV4_PREFIXES.max}`, text);
  }
  if (family === 6 && prefixLength !== IPV6_PREFIX) {
    throw fieldError('NET_SPEC_INVALID', field, `an IPv6 prefix of ${IPV6_PREFIX}`, text);
  }
  const { value } = parseAddress(address, field, 'NET_SPEC_INVALID');
  const size = 1n << BigInt((family === 4 ? 32 : 128) - prefixLength);
  const first = value - (value % size);
  const last = first + size - 1n;
  // Of IPv4 the last address is the broadcast address.
  const highest = family === 4 ? last - 1n : last;
  const at = (offset: bigint) => formatAddress(family, first + offset < highest ? first + offset : highest);
  return {
    family,
    first,
    last,
    subnet: `${formatAddress(family, first)}/${prefixLength}`,
    prefixLength,
    gateway: at(GATEWAY),
    dns: at(DNS),
    guest: at(GUEST),
  };
}

/**
 * An asked-for address as canonical text.
 * @throws IPAM_ADDRESS_INVALID, IPAM_ADDRESS_OUT_OF_RANGE, IPAM_ADDRESS_RESERVED.
 */
export function checkAddress(plans: readonly SubnetPlan[], text: string): { plan: SubnetPlan; address: string } {
  const family = isIPv4(text) ? 4 : isIPv6(text) && !text.includes('%') ? 6 : undefined;
  const field = 'addresses';
  if (family === undefined) throw fieldError('IPAM_ADDRESS_INVALID', field, 'IP addresses', text);
  const plan = plans.find((candidate) => candidate.family === family);
  if (!plan) {
    const subnets = plans.map(({ subnet }) => subnet).join(', ');
    throw fieldError('IPAM_ADDRESS_INVALID', field, `an address of ${subnets}`, text);
  }
  const { value } = parseAddress(text, field);
  const address = formatAddress(family, value);
  const { first, last } = plan;
  if (value < first || value > last) {
    throw fieldError('IPAM_ADDRESS_OUT_OF_RANGE', field, `an address of ${plan.subnet}`, text);
  }
  if (value === first || (family === 4 && value === last) || address === plan.gateway || address === plan.dns) {
    const expected = `an address of ${plan.subnet} other than the network's own, ${plan.gateway} (gateway) and ${plan.dns} (DNS)`;
    throw fieldError('IPAM_ADDRESS_RESERVED', field, expected, text);
  }
  return { plan, address };
}

export function builtinFamily(plan: SubnetPlan, guest: string): BuiltinFamily {
  return { subnet: plan.subnet, gateway: plan.gateway, dns: plan.dns, guest };
}
