import {
  type AddressPool,
  type Allocation,
  type CallOptions,
  fieldError,
  HyperplugError,
  type IpRange,
  type PoolNetwork,
  type PoolUsage,
  type Subnet,
  subnetOf,
  throwIfAborted,
} from 'hyperplug';
import { capabilities } from './capabilities.js';
import { todo } from './todo.js';

interface Network {
  readonly subnet: Subnet;
  readonly allocations: Map<bigint, Allocation>;
}

/** Networks by their canonical text, so that any address of a network names the same pool. */
export class __CLASS__Pool implements AddressPool {
  readonly name = '__NAME__';
  readonly capabilities = capabilities;
  readonly #networks = new Map<string, Network>();

  async register(network: PoolNetwork, { signal }: CallOptions): Promise<void> {
    throwIfAborted(signal, 'register');
    const subnet = subnetOf(network.range);
    if (network.restrictTo !== undefined || network.reserved.length > 0) {
      todo('register() with a restriction and reserved addresses: check them, keep them, refuse what contradicts');
    }
    if (!this.#networks.has(subnet.key)) this.#networks.set(subnet.key, { subnet, allocations: new Map() });
  }

  async unregister(range: IpRange, { signal }: CallOptions): Promise<void> {
    throwIfAborted(signal, 'unregister');
    this.#networks.delete(subnetOf(range).key);
  }

  async request(range: IpRange, address: string | undefined, owner: string, options: CallOptions): Promise<Allocation> {
    throwIfAborted(options.signal, 'request');
    const { subnet } = this.#network(range);
    if (address !== undefined && typeof address !== 'string') {
      throw fieldError('IPAM_ADDRESS_INVALID', 'address', `an address of ${subnet.key}`, address);
    }
    return todo(`request() of ${address ?? 'the next free address'} for ${owner}`);
  }

  async release(range: IpRange, address: string, { signal }: CallOptions): Promise<boolean> {
    throwIfAborted(signal, 'release');
    this.#network(range);
    return todo(`release() of ${address}`);
  }

  async releaseOwner(owner: string, { signal }: CallOptions): Promise<readonly Allocation[]> {
    throwIfAborted(signal, 'releaseOwner');
    const released: Allocation[] = [];
    for (const { allocations } of this.#networks.values()) {
      for (const [value, allocation] of allocations) {
        if (allocation.owner !== owner) continue;
        allocations.delete(value);
        released.push(allocation);
      }
    }
    return released;
  }

  async list(range: IpRange, { signal }: CallOptions): Promise<readonly Allocation[]> {
    throwIfAborted(signal, 'list');
    const { allocations } = this.#network(range);
    return [...allocations].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, allocation]) => allocation);
  }

  async usage(range: IpRange, { signal }: CallOptions): Promise<PoolUsage> {
    throwIfAborted(signal, 'usage');
    this.#network(range);
    return todo('usage(): how many addresses can be allocated at all, and how many are');
  }

  #network(range: IpRange): Network {
    const { key } = subnetOf(range);
    const network = this.#networks.get(key);
    if (!network) throw new HyperplugError('IPAM_NETWORK_NOT_FOUND', `network ${key} is not registered`);
    return network;
  }
}
