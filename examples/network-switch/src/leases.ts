import {
  type AddressLease,
  type AddressPool,
  type AddressRequest,
  type Allocation,
  type CallOptions,
  HyperplugError,
  parseAddress,
  parseRange,
} from 'hyperplug';
import type { Network } from './networks.js';

const ownerOf = ({ podId, nicId }: { readonly podId: string; readonly nicId: string }) => `${podId}/${nicId}`;

/** Addresses of a network, from whatever address pool is configured: that one is shared with other processes. */
export class Leases {
  constructor(readonly pool: AddressPool) {}

  async open({ range }: Network, options: CallOptions): Promise<void> {
    await this.pool.register({ range, reserved: [range.getFirst().nextIPNumber()] as never }, options);
  }

  async close({ range }: Network, options: CallOptions): Promise<void> {
    await this.pool.unregister(range, options);
  }

  /** All that is asked for, or nothing. */
  async take(network: Network, request: AddressRequest, options: CallOptions): Promise<AddressLease> {
    const taken: Allocation[] = [];
    try {
      const wanted = request.addresses.length === 0 ? [undefined] : request.addresses;
      for (const address of wanted) {
        if (address !== undefined) checkAddress(network, address);
        taken.push(await this.pool.request(network.range, address, ownerOf(request), options));
      }
    } catch (error) {
      // The caller's signal may be what failed it.
      const call = { signal: AbortSignal.timeout(10_000) };
      for (const { address } of taken) await this.pool.release(network.range, address, call);
      throw error;
    }
    const { name, gateway, mtu, spec } = network;
    const { podId, nicId } = request;
    const addresses = taken.map(({ address, prefixLength }) => ({ address, prefixLength }));
    return { network: name, podId, nicId, addresses, gateways: [gateway], dns: spec.dns, mtu };
  }

  /** What of the lease its NIC still holds; without addresses, all it holds. */
  async release({ range }: Network, lease: AddressLease, options: CallOptions): Promise<void> {
    const wanted = new Set(lease.addresses.map(({ address }) => address));
    for (const { address, owner } of await this.pool.list(range, options)) {
      if (owner !== ownerOf(lease) || (wanted.size > 0 && !wanted.has(address))) continue;
      await this.pool.release(range, address, options);
    }
  }
}

/** The pool would take `ADDRESS/PREFIX`, too. */
function checkAddress({ name, subnet }: Network, text: string): void {
  const { family } = parseAddress(text, 'addresses', 'IPAM_ADDRESS_INVALID');
  if (family === 4) return;
  throw new HyperplugError('IPAM_ADDRESS_OUT_OF_RANGE', `addresses: ${text} is not of network ${name} (${subnet})`);
}

export const rangeOf = (subnet: string) => parseRange(subnet, 'subnets', 'NET_SPEC_INVALID');
