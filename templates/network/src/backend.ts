import {
  type AddressLease,
  type AddressRequest,
  type CallOptions,
  fieldError,
  type HostNic,
  type HostNicRecord,
  HyperplugError,
  type InitOptions,
  type NetworkBackend,
  type NetworkSpec,
  type NetworkStatus,
  type NicPlan,
  parseAddress,
  parseSubnet,
  throwIfAborted,
} from 'hyperplug';
import { capabilities } from './capabilities.js';
import { todo } from './todo.js';

/** Specifications by the contract's rules; making networks, leases and NICs is yours to write. */
export class __CLASS__Backend implements NetworkBackend {
  readonly name = '__NAME__';
  readonly capabilities = capabilities;
  readonly #networks = new Map<string, NetworkSpec>();

  async init(networks: readonly NetworkSpec[], { signal, only }: InitOptions): Promise<void> {
    throwIfAborted(signal, 'making networks');
    const asked = networks.filter(({ name }) => only?.includes(name) ?? true);
    for (const network of asked) this.#check(network);
    for (const network of networks) this.#networks.set(network.name, network);
    for (const network of asked) {
      todo(`init() of network ${network.name}: make it, or see that it stands as it should`);
    }
  }

  async allocateAddress(request: AddressRequest, { signal }: CallOptions): Promise<AddressLease> {
    throwIfAborted(signal, 'taking an address');
    this.#network(request.network);
    if (request.addresses.length > 0 && !this.capabilities.staticAddress) this.#refuse('staticAddress');
    return todo(`allocateAddress() for ${request.podId}/${request.nicId}`);
  }

  async releaseAddress(lease: AddressLease, _options: CallOptions): Promise<void> {
    todo(`releaseAddress() of ${lease.podId}/${lease.nicId}`);
  }

  async attach(plan: NicPlan, { signal }: CallOptions): Promise<HostNic> {
    throwIfAborted(signal, `attaching NIC ${plan.nicId}`);
    if (!this.capabilities.endpoints.includes(plan.endpoint)) this.#refuse(`NIC endpoint ${plan.endpoint}`);
    for (const { protocol, guestCount } of plan.ports) {
      if (!this.capabilities.publish.includes(protocol)) this.#refuse(`publishing ${protocol}`);
      if (guestCount !== undefined && !this.capabilities.publishToAny) this.#refuse('publishToAny');
    }
    return todo(`attach() of NIC ${plan.podId}/${plan.nicId}`);
  }

  async detach(record: HostNicRecord, _options: CallOptions): Promise<void> {
    todo(`detach() of NIC ${record.podId}/${record.nicId}`);
  }

  async status({ signal }: CallOptions): Promise<readonly NetworkStatus[]> {
    throwIfAborted(signal, 'network status');
    return [...this.#networks.values()].map(({ name }) => todo(`status() of network ${name}: as the host has it`));
  }

  async teardown(name: string, { signal }: CallOptions): Promise<void> {
    throwIfAborted(signal, `removing network ${name}`);
    this.#network(name);
    todo(`teardown() of network ${name}`);
  }

  #network(name: string): NetworkSpec {
    const network = this.#networks.get(name);
    if (!network) throw new HyperplugError('NET_NOT_FOUND', `no network ${JSON.stringify(name)} is configured`);
    return network;
  }

  #check({ subnets, mtu, dns, isolated, allow }: NetworkSpec): void {
    if (isolated && !this.capabilities.isolation) this.#refuse('isolation');
    if (allow) this.#refuse('allow lists');
    const families = subnets.map((text) => parseSubnet(text, 'subnets', 'NET_SPEC_INVALID').family);
    const fit = families.every((family) => this.capabilities.families.includes(family));
    if (families.length === 0 || new Set(families).size < families.length || !fit) {
      const expected = `one subnet of each of the families ${this.capabilities.families.join(', ')}`;
      throw fieldError('NET_SPEC_INVALID', 'subnets', expected, subnets);
    }
    const { min, max } = this.capabilities.mtu;
    if (mtu !== null && (mtu < min || mtu > max)) {
      throw fieldError('NET_SPEC_INVALID', 'mtu', `${min} to ${max}`, mtu);
    }
    for (const server of dns) parseAddress(server, 'dns', 'NET_SPEC_INVALID');
  }

  #refuse(what: string): never {
    throw new HyperplugError('NOT_SUPPORTED', `network backend ${this.name} does not declare ${what}`);
  }
}
