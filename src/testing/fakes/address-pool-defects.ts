import type { Allocation, IpRange, PoolNetwork, PoolUsage } from '../../core/address-pool.js';
import type { CallOptions } from '../../core/calls.js';
import { hasCode } from '../../core/errors.js';
import type { PoolLayout } from '../../core/ipam/subnet.js';
import { FakeAddressPool, type FakeAddressPoolOptions, FakePoolMedium, type FakePoolNetwork } from './address-pool.js';

export type FakeAddressPoolClass = new (options: FakeAddressPoolOptions) => FakeAddressPool;

const withoutReserved = (layout: PoolLayout, offset: bigint): PoolLayout => ({
  ...layout,
  reserved: layout.reserved.filter((each) => each !== offset),
});

/** Pools that are each wrong in one way. What the contract says of each is in a test of its own. */
export const addressPoolDefects: Readonly<Record<string, FakeAddressPoolClass>> = {
  'hands out the broadcast address': class extends FakeAddressPool {
    protected override layout(network: PoolNetwork): PoolLayout {
      const layout = super.layout(network);
      return layout.subnet.family === 4 ? withoutReserved(layout, layout.subnet.size - 1n) : layout;
    }
  },
  'gives reserved addresses to those who ask for them': class extends FakeAddressPool {
    protected override asked(network: FakePoolNetwork, address: string): bigint {
      return super.asked({ ...network, layout: { ...network.layout, reserved: [] } }, address);
    }
  },
  'forgets to free what is released': class extends FakeAddressPool {
    protected override free(): boolean {
      return true;
    }
  },
  'releases a bare address only: with its prefix it is not found': class extends FakeAddressPool {
    override release(range: IpRange, address: string, options: CallOptions): Promise<boolean> {
      return super.release(range, address, options).then(
        (released) => (typeof address === 'string' && address.includes('/') ? false : released),
        (error: unknown) => Promise.reject(error),
      );
    }
  },
  'takes x.1/24 for another network than x.0/24': class extends FakeAddressPool {
    protected override key(range: IpRange): string {
      super.key(range);
      const { ipv4, ipv6 } = range as unknown as { ipv4?: object; ipv6?: object };
      return String(ipv4 ?? ipv6);
    }
  },
  'takes an invalid address for "any"': class extends FakeAddressPool {
    protected override asked(network: FakePoolNetwork, address: string): bigint {
      try {
        return super.asked(network, address);
      } catch (error) {
        if (hasCode(error, 'IPAM_ADDRESS_INVALID')) return this.next(network);
        throw error;
      }
    }
  },
  'skips the first address when it wraps round': class extends FakeAddressPool {
    protected override next(network: FakePoolNetwork): bigint {
      const offset = super.next(network);
      const wrapped = network.lastGiven !== undefined && offset < network.lastGiven;
      return wrapped ? super.next({ ...network, lastGiven: offset }) : offset;
    }
  },
  'never gives the last address': class extends FakeAddressPool {
    protected override next(network: FakePoolNetwork): bigint {
      const { layout } = network;
      let last = layout.last;
      while (layout.reserved.includes(last)) last--;
      return last > layout.first + 1n
        ? super.next({ ...network, layout: { ...layout, last: last - 1n } })
        : super.next(network);
    }
  },
  'always gives the lowest free address': class extends FakeAddressPool {
    protected override next(network: FakePoolNetwork): bigint {
      return super.next({ ...network, lastGiven: undefined });
    }
  },
  'forgets that an address asked for was the last given': class extends FakeAddressPool {
    override async request(
      range: IpRange,
      address: string | undefined,
      owner: string,
      options: CallOptions,
    ): Promise<Allocation> {
      const last = address === undefined ? undefined : this.medium.networks.get(this.key(range))?.lastGiven;
      const given = await super.request(range, address, owner, options);
      if (address !== undefined) this.find(range).lastGiven = last;
      return given;
    }
  },
  'gives an address that is taken': class extends FakeAddressPool {
    protected override asked(network: FakePoolNetwork, address: string): bigint {
      return super.asked({ ...network, owners: new Map() }, address);
    }
  },
  'says "taken" and not by whom': class extends FakeAddressPool {
    protected override asked(network: FakePoolNetwork, address: string): bigint {
      try {
        return super.asked(network, address);
      } catch (error) {
        throw hasCode(error, 'IPAM_ADDRESS_TAKEN') ? this.refuse('IPAM_ADDRESS_TAKEN', `${address} is taken`) : error;
      }
    }
  },
  'gives an address twice when it runs dry': class extends FakeAddressPool {
    protected override next(network: FakePoolNetwork): bigint {
      try {
        return super.next(network);
      } catch {
        return network.owners.keys().next().value as bigint;
      }
    }
  },
  'ignores the prefix of an address': class extends FakeAddressPool {
    protected override parse(layout: PoolLayout, address: string): bigint {
      return super.parse(layout, typeof address === 'string' ? address.replace(/\/(24|64)$/, '') : address);
    }
  },
  'ignores the restriction for addresses asked for': class extends FakeAddressPool {
    protected override asked(network: FakePoolNetwork, address: string): bigint {
      const { layout } = network;
      return super.asked({ ...network, layout: { ...layout, first: 0n, last: layout.subnet.size - 1n } }, address);
    }
  },
  'changes the restriction under allocations': class extends FakeAddressPool {
    protected override checkReplacement(network: FakePoolNetwork, next: PoolLayout): void {
      super.checkReplacement({ ...network, layout: { ...network.layout, restrictTo: next.restrictTo } }, next);
    }
  },
  'reserves what is allocated': class extends FakeAddressPool {
    protected override checkReplacement(network: FakePoolNetwork, next: PoolLayout): void {
      super.checkReplacement(network, { ...next, reserved: [] });
    }
  },
  'starts afresh when a network is registered again': class extends FakeAddressPool {
    override async register(network: PoolNetwork, options: CallOptions): Promise<void> {
      await super.register(network, options);
      const known = this.find(network.range);
      known.owners.clear();
      known.lastGiven = undefined;
    }
  },
  'keeps allocations past unregister()': class extends FakeAddressPool {
    readonly #kept = new Map<string, Map<bigint, string>>();
    override async unregister(range: IpRange, options: CallOptions): Promise<void> {
      const known = this.medium.networks.get(this.key(range));
      if (known) this.#kept.set(this.key(range), known.owners);
      await super.unregister(range, options);
    }
    override async register(network: PoolNetwork, options: CallOptions): Promise<void> {
      await super.register(network, options);
      for (const [offset, owner] of this.#kept.get(this.key(network.range)) ?? []) {
        this.find(network.range).owners.set(offset, owner);
      }
    }
  },
  'refuses to unregister twice': class extends FakeAddressPool {
    override async unregister(range: IpRange, options: CallOptions): Promise<void> {
      this.checkCall(options);
      this.find(range);
      await super.unregister(range, options);
    }
  },
  'releases an owner in the first network only': class extends FakeAddressPool {
    override async releaseOwner(owner: string, options: CallOptions): Promise<readonly Allocation[]> {
      const later = [...this.medium.networks].slice(1);
      for (const [key] of later) this.medium.networks.delete(key);
      try {
        return await super.releaseOwner(owner, options);
      } finally {
        for (const [key, network] of later) this.medium.networks.set(key, network);
      }
    }
  },
  'releases owners whose names begin alike': class extends FakeAddressPool {
    protected override owns(owner: string, holder: string): boolean {
      return holder.startsWith(owner);
    }
  },
  'counts what can never be allocated': class extends FakeAddressPool {
    override async usage(range: IpRange, options: CallOptions): Promise<PoolUsage> {
      const usage = await super.usage(range, options);
      return { ...usage, capacity: usage.capacity + BigInt(this.find(range).layout.reserved.length) };
    }
  },
  'lists in the order of allocation': class extends FakeAddressPool {
    override async list(range: IpRange, options: CallOptions): Promise<readonly Allocation[]> {
      this.checkCall(options);
      const network = this.find(range);
      return [...network.owners].map(([offset, owner]) => this.describe(network, offset, owner));
    }
  },
  'goes on after an abort': class extends FakeAddressPool {
    protected override checkCall(): void {}
  },
  'races with itself: waits between looking and writing': class extends FakeAddressPool {
    override async request(
      range: IpRange,
      address: string | undefined,
      owner: string,
      options: CallOptions,
    ): Promise<Allocation> {
      this.checkCall(options);
      const network = this.find(range);
      const offset = address === undefined ? this.next(network) : this.asked(network, address);
      await new Promise((resolve) => setImmediate(resolve));
      this.write();
      network.owners.set(offset, owner);
      network.lastGiven = offset;
      return this.describe(network, offset, owner);
    }
  },
  'keeps in memory what it could not write': class extends FakeAddressPool {
    override async request(
      range: IpRange,
      address: string | undefined,
      owner: string,
      options: CallOptions,
    ): Promise<Allocation> {
      const { failNextWrite } = this.medium;
      this.medium.failNextWrite = false;
      const given = await super.request(range, address, owner, options);
      this.medium.failNextWrite = failNextWrite;
      this.write();
      return given;
    }
  },
  'swallows a failed write': class extends FakeAddressPool {
    protected override write(): void {
      this.medium.failNextWrite = false;
    }
  },
  'is not durable': class extends FakeAddressPool {
    constructor(options: FakeAddressPoolOptions) {
      super({ ...options, medium: new FakePoolMedium() });
    }
  },
  'does not find networks that are as large as it declares': class extends FakeAddressPool {
    override async register(network: PoolNetwork, options: CallOptions): Promise<void> {
      if (super.layout(network).subnet.size > 2n ** 20n) throw this.refuse('IPAM_SUBNET_INVALID', 'range: too large');
      await super.register(network, options);
    }
  },
  'keeps the edges of networks that have none': class extends FakeAddressPool {
    protected override layout(network: PoolNetwork): PoolLayout {
      const layout = super.layout(network);
      if (layout.subnet.size !== 2n) return layout;
      return { ...layout, reserved: [0n], capacity: 1n };
    }
  },
};
