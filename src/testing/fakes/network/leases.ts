import type { ErrorCode } from '../../../core/error-codes.js';
import { HyperplugError } from '../../../core/errors.js';
import type { AddressLease, AddressRequest, InterfaceAddress } from '../../../core/network.js';
import { formatAddress, parseAddress, type Subnet } from '../../kit/subnets.js';

export interface LeasedNetwork {
  readonly name: string;
  readonly subnets: readonly Subnet[];
}

export const gatewayOf = ({ first, family }: Subnet) => formatAddress(first + 1n, family);

interface Held {
  readonly network: string;
  readonly address: string;
  readonly owner: string;
}

const ownerOf = ({ podId, nicId }: Pick<AddressLease, 'podId' | 'nicId'>) => `${podId}/${nicId}`;

/** Addresses that are held, by whom; shared by the managers of a machine. */
export class FakeLeases {
  readonly held: Held[] = [];

  /** All of them, or none. @throws IPAM_* */
  allocate({ name, subnets }: LeasedNetwork, request: AddressRequest): InterfaceAddress[] {
    const chosen: { subnet: Subnet; value: bigint }[] = [];
    if (request.addresses.length === 0)
      for (const subnet of subnets) chosen.push({ subnet, value: this.#free(name, subnet) });
    else for (const text of request.addresses) chosen.push(this.#asked(name, subnets, text));
    const addresses = chosen.map(({ subnet, value }) => ({
      address: formatAddress(value, subnet.family),
      prefixLength: subnet.prefixLength,
    }));
    for (const { address } of addresses) this.held.push({ network: name, address, owner: ownerOf(request) });
    return addresses;
  }

  release(lease: AddressLease): void {
    const mine = (each: Held) =>
      each.network === lease.network &&
      each.owner === ownerOf(lease) &&
      (lease.addresses.length === 0 || lease.addresses.some(({ address }) => address === each.address));
    for (let at = this.held.length - 1; at >= 0; at--) if (mine(this.held[at] as Held)) this.held.splice(at, 1);
  }

  #taken(network: string, address: string): boolean {
    return this.held.some((each) => each.network === network && each.address === address);
  }

  #free(network: string, subnet: Subnet): bigint {
    const end = subnet.family === 4 ? subnet.last - 1n : subnet.last;
    for (let value = subnet.first + 2n; value <= end; value++) {
      if (!this.#taken(network, formatAddress(value, subnet.family))) return value;
    }
    throw new HyperplugError('IPAM_EXHAUSTED', `network ${network}: no free address in ${subnet.text}`);
  }

  #asked(network: string, subnets: readonly Subnet[], text: string): { subnet: Subnet; value: bigint } {
    const refuse = (code: ErrorCode, why: string) => {
      throw new HyperplugError(code, `addresses: ${text} ${why}`, { details: { field: 'addresses', received: text } });
    };
    const address = parseAddress(text) ?? refuse('IPAM_ADDRESS_INVALID', 'is no address');
    const { family, value } = address as NonNullable<ReturnType<typeof parseAddress>>;
    const found = subnets.find((each) => each.family === family && value >= each.first && value <= each.last);
    const subnet = (found ?? refuse('IPAM_ADDRESS_OUT_OF_RANGE', `is not of network ${network}`)) as Subnet;
    const reserved = value <= subnet.first + 1n || (family === 4 && value === subnet.last);
    if (reserved) refuse('IPAM_ADDRESS_RESERVED', "is the network's, the gateway's or the broadcast address");
    if (this.#taken(network, formatAddress(value, family))) refuse('IPAM_ADDRESS_TAKEN', 'is taken');
    return { subnet, value };
  }
}
