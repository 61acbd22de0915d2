import type {
  AddressPool,
  AddressPoolCapabilities,
  Allocation,
  IpRange,
  PoolNetwork,
  PoolUsage,
} from '../../core/address-pool.js';
import { type CallOptions, throwIfAborted } from '../../core/calls.js';
import type { ErrorCode } from '../../core/error-codes.js';
import { HyperplugError } from '../../core/errors.js';
import { formatAddress, parseAddressWithPrefix } from '../../core/ipam/address-text.js';
import { SHORTEST_PREFIX } from '../../core/ipam/limits.js';
import { layoutOf, type PoolLayout, subnetOf } from '../../core/ipam/subnet.js';

export interface FakePoolNetwork {
  layout: PoolLayout;
  /** Offset in the network → owner. */
  owners: Map<bigint, string>;
  lastGiven: bigint | undefined;
}

/** What a fake pool's disk holds; pools over one medium share it. */
export class FakePoolMedium {
  readonly networks = new Map<string, FakePoolNetwork>();
  /** The next write fails, once. */
  failNextWrite = false;
}

export interface FakeAddressPoolOptions {
  readonly medium?: FakePoolMedium;
  readonly durable?: boolean;
}

/**
 * An AddressPool in memory that looks at one address after the other: slow, and easy to see to be right, so it is also
 * the model for tests of a faster one. Its protected methods are the places where a test can put a defect.
 */
export class FakeAddressPool implements AddressPool {
  readonly name: string = 'fake';
  readonly capabilities: AddressPoolCapabilities;
  readonly medium: FakePoolMedium;

  constructor({ medium, durable = false }: FakeAddressPoolOptions = {}) {
    this.medium = medium ?? new FakePoolMedium();
    this.capabilities = Object.freeze({
      families: Object.freeze([4, 6] as const),
      shortestPrefix: SHORTEST_PREFIX,
      durable,
    });
  }

  async register(network: PoolNetwork, options: CallOptions): Promise<void> {
    this.checkCall(options);
    const layout = this.layout(network);
    const key = this.key(network.range);
    const known = this.medium.networks.get(key);
    this.write();
    if (!known) {
      this.medium.networks.set(key, { layout, owners: new Map(), lastGiven: undefined });
      return;
    }
    this.checkReplacement(known, layout);
    if (known.layout.restrictTo !== layout.restrictTo) known.lastGiven = undefined;
    known.layout = layout;
  }

  async unregister(range: IpRange, options: CallOptions): Promise<void> {
    this.checkCall(options);
    this.write();
    this.medium.networks.delete(this.key(range));
  }

  async request(range: IpRange, address: string | undefined, owner: string, options: CallOptions): Promise<Allocation> {
    this.checkCall(options);
    const network = this.find(range);
    const offset = address === undefined ? this.next(network) : this.asked(network, address);
    this.write();
    network.owners.set(offset, owner);
    network.lastGiven = offset;
    return this.describe(network, offset, owner);
  }

  async release(range: IpRange, address: string, options: CallOptions): Promise<boolean> {
    this.checkCall(options);
    const network = this.find(range);
    const offset = this.parse(network.layout, address);
    if (!network.owners.has(offset)) return false;
    this.write();
    return this.free(network, offset);
  }

  async releaseOwner(owner: string, options: CallOptions): Promise<readonly Allocation[]> {
    this.checkCall(options);
    const released: Allocation[] = [];
    this.write();
    for (const network of this.medium.networks.values()) {
      for (const [offset, holder] of [...network.owners]) {
        if (!this.owns(owner, holder)) continue;
        this.free(network, offset);
        released.push(this.describe(network, offset, holder));
      }
    }
    return released;
  }

  async list(range: IpRange, options: CallOptions): Promise<readonly Allocation[]> {
    this.checkCall(options);
    const network = this.find(range);
    const offsets = [...network.owners.keys()].sort((one, other) => (one < other ? -1 : 1));
    return offsets.map((offset) => this.describe(network, offset, network.owners.get(offset) as string));
  }

  async all(options: CallOptions): Promise<readonly Allocation[]> {
    throwIfAborted(options.signal, 'all allocations');
    return [...this.medium.networks.values()].flatMap((network) =>
      [...network.owners].map(([offset, owner]) => this.describe(network, offset, owner)),
    );
  }

  async usage(range: IpRange, options: CallOptions): Promise<PoolUsage> {
    this.checkCall(options);
    const { layout, owners } = this.find(range);
    return { network: layout.subnet.key, capacity: layout.capacity, allocated: BigInt(owners.size) };
  }

  protected checkCall({ signal }: CallOptions): void {
    throwIfAborted(signal, 'address pool call');
  }

  protected key(range: IpRange): string {
    return subnetOf(range).key;
  }

  protected layout(network: PoolNetwork): PoolLayout {
    return layoutOf(network);
  }

  protected write(): void {
    if (!this.medium.failNextWrite) return;
    this.medium.failNextWrite = false;
    throw new HyperplugError('STATE_UNAVAILABLE', 'fake address pool: no space left on device');
  }

  protected find(range: IpRange): FakePoolNetwork {
    const key = this.key(range);
    const network = this.medium.networks.get(key);
    if (!network) throw this.refuse('IPAM_NETWORK_NOT_FOUND', `network ${key} is not registered`);
    return network;
  }

  protected checkReplacement({ layout, owners }: FakePoolNetwork, next: PoolLayout): void {
    const moved = layout.restrictTo !== next.restrictTo && owners.size > 0;
    if (moved || next.reserved.some((offset) => owners.has(offset))) {
      throw this.refuse('IPAM_SUBNET_CONFLICT', `network ${layout.subnet.key} is in use`);
    }
  }

  /** @throws IPAM_EXHAUSTED. */
  protected next({ layout, owners, lastGiven }: FakePoolNetwork): bigint {
    const { first, last, reserved } = layout;
    const start = lastGiven === undefined || lastGiven === last ? first : lastGiven + 1n;
    let offset = start;
    do {
      if (!owners.has(offset) && !reserved.includes(offset)) return offset;
      offset = offset === last ? first : offset + 1n;
    } while (offset !== start);
    throw this.refuse('IPAM_EXHAUSTED', `network ${layout.subnet.key}: all addresses are allocated`);
  }

  protected asked({ layout, owners }: FakePoolNetwork, address: string): bigint {
    const offset = this.parse(layout, address);
    if (layout.reserved.includes(offset)) throw this.refuse('IPAM_ADDRESS_RESERVED', `address ${address} is reserved`);
    if (offset < layout.first || offset > layout.last) {
      throw this.refuse('IPAM_ADDRESS_OUT_OF_RANGE', `address ${address} is not in ${layout.restrictTo}`);
    }
    const holder = owners.get(offset);
    if (holder !== undefined) throw this.refuse('IPAM_ADDRESS_TAKEN', `address ${address} is allocated to ${holder}`);
    return offset;
  }

  protected parse({ subnet }: PoolLayout, address: string): bigint {
    const { family, value, prefixLength } = parseAddressWithPrefix(address, 'address');
    if (family !== subnet.family || (prefixLength !== undefined && prefixLength !== subnet.prefixLength)) {
      throw this.refuse('IPAM_ADDRESS_INVALID', `address ${address} does not fit ${subnet.key}`);
    }
    const offset = value - subnet.base;
    if (offset >= 0n && offset < subnet.size) return offset;
    throw this.refuse('IPAM_ADDRESS_OUT_OF_RANGE', `address ${address} is not in ${subnet.key}`);
  }

  protected free(network: FakePoolNetwork, offset: bigint): boolean {
    return network.owners.delete(offset);
  }

  protected owns(owner: string, holder: string): boolean {
    return owner === holder;
  }

  protected describe({ layout }: FakePoolNetwork, offset: bigint, owner: string): Allocation {
    const { family, base, prefixLength, key } = layout.subnet;
    return { address: formatAddress(family, base + offset), prefixLength, network: key, owner };
  }

  protected refuse(code: ErrorCode, message: string): HyperplugError {
    return new HyperplugError(code, message);
  }
}
