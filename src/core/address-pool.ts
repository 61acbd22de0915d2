import type { IPv4, IPv4CidrRange, IPv6, IPv6CidrRange } from 'ip-num';
import type { CallOptions } from './calls.js';

export type IpRange = IPv4CidrRange | IPv6CidrRange;
export type IpAddress = IPv4 | IPv6;

export interface AddressPoolCapabilities {
  readonly families: readonly (4 | 6)[];
  /** Shortest prefixes it can hold: 8 and 64 say /8 and /64. */
  readonly shortestPrefix: { readonly 4: number; readonly 6: number };
  /** Allocations survive the process, and several processes share them. */
  readonly durable: boolean;
}

export interface PoolNetwork {
  /** The network; any address of it names the same pool (its key is canonical). */
  readonly range: IpRange;
  /** Allocate only from this part of it; undefined: all. */
  readonly restrictTo?: IpRange;
  /** Never handed out, asked for or not: the gateway and the like. */
  readonly reserved: readonly IpAddress[];
}

export interface Allocation {
  /** Canonical text: `10.1.2.3`, `fd00::3`. */
  readonly address: string;
  /** Prefix length of the network. */
  readonly prefixLength: number;
  /** Canonical CIDR of the network. */
  readonly network: string;
  readonly owner: string;
}

export interface PoolUsage {
  readonly network: string;
  /** Addresses that can be allocated at all; network, broadcast and reserved ones are not among them. */
  readonly capacity: bigint;
  readonly allocated: bigint;
}

/**
 * The original's IPAllocator (RequestIP, ReleaseIP, RegisterSubnet). Without an address, the next free one after the
 * last given, wrapping round. The network and broadcast addresses of IPv4 (not of /31 and /32) and the subnet-router
 * anycast address of IPv6 (not of /127 and /128) are never given.
 */
export interface AddressPool {
  readonly name: string;
  readonly capabilities: AddressPoolCapabilities;
  start?(options: CallOptions): Promise<void>;
  stop?(options: CallOptions): Promise<void>;
  /** Idempotent. @throws IPAM_SUBNET_INVALID; IPAM_SUBNET_CONFLICT when known with another restriction and in use. */
  register(network: PoolNetwork, options: CallOptions): Promise<void>;
  /** Forgets the network and its allocations. Idempotent. */
  unregister(range: IpRange, options: CallOptions): Promise<void>;
  /**
   * @param address text, or undefined for the next free one. Text that is no address is an error, never "any".
   * @param owner for people and for releaseOwner.
   * @throws IPAM_NETWORK_NOT_FOUND, IPAM_ADDRESS_INVALID, IPAM_ADDRESS_OUT_OF_RANGE, IPAM_ADDRESS_RESERVED,
   * IPAM_ADDRESS_TAKEN, IPAM_EXHAUSTED.
   */
  request(range: IpRange, address: string | undefined, owner: string, options: CallOptions): Promise<Allocation>;
  /**
   * Takes what request() returned: with or without `/prefix`. False: it was not allocated.
   * @throws IPAM_ADDRESS_INVALID, IPAM_ADDRESS_OUT_OF_RANGE, IPAM_NETWORK_NOT_FOUND; a prefix other than the network's is invalid.
   */
  release(range: IpRange, address: string, options: CallOptions): Promise<boolean>;
  /** Releases all that this owner holds, in every network; the allocations it held. */
  releaseOwner(owner: string, options: CallOptions): Promise<readonly Allocation[]>;
  list(range: IpRange, options: CallOptions): Promise<readonly Allocation[]>;
  /** Every allocation of every network, registered by whichever process. */
  all?(options: CallOptions): Promise<readonly Allocation[]>;
  usage(range: IpRange, options: CallOptions): Promise<PoolUsage>;
}
