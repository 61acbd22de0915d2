import { isIP } from 'node:net';
import { type CallOptions, throwIfAborted } from '../../core/calls.js';
import { fieldError, HyperplugError } from '../../core/errors.js';
import type { BuiltinEndpoint, PortForward } from '../../core/hypervisor.js';
import { deepFreeze } from '../../core/json.js';
import type {
  AddressLease,
  AddressRequest,
  HostNic,
  HostNicRecord,
  InitOptions,
  NetworkBackend,
  NetworkSpec,
  NetworkStatus,
  NicPlan,
  PortMapping,
} from '../../core/network.js';
import { BACKEND_NAME, builtinNetCapabilities, MTU } from './capabilities.js';
import { checkHostPorts, expandPorts, overlap, portInUse } from './ports.js';
import { builtinFamily, checkAddress, planSubnet, type SubnetPlan } from './subnet-plan.js';

/** RFC 8200, section 5. */
const IPV6_MIN_MTU = 1280;

interface Network {
  readonly spec: NetworkSpec;
  readonly plans: readonly SubnetPlan[];
  readonly mtu: number;
}

/**
 * The hypervisor's own network. Every NIC has a private copy of its network, with nobody else in it, so addresses are
 * planned and not handed out: no pool, nothing on the host, nothing to undo. What is kept in memory only makes mistakes
 * speak up early: two NICs of one pod with the same addresses, one host port for two NICs.
 */
export class BuiltinNetBackend implements NetworkBackend {
  readonly name = BACKEND_NAME;
  readonly capabilities = builtinNetCapabilities;
  #networks = new Map<string, Network>();
  readonly #leases = new Map<string, AddressLease>();
  readonly #attached = new Map<string, readonly PortForward[]>();

  async init(networks: readonly NetworkSpec[], { signal, only }: InitOptions): Promise<void> {
    throwIfAborted(signal, 'network init');
    const checked = new Map<string, Network>();
    for (const spec of networks) {
      try {
        checked.set(spec.name, checkNetwork(spec));
      } catch (error) {
        if (only?.includes(spec.name) ?? true) throw error;
      }
    }
    this.#networks = checked;
  }

  async allocateAddress(request: AddressRequest, { signal }: CallOptions): Promise<AddressLease> {
    throwIfAborted(signal, 'allocate address');
    const { podId, nicId } = request;
    const network = this.#network(request.network);
    this.#refuseSecond(request);
    const lease = deepFreeze(leaseFor(network, request));
    // Further addresses of a NIC are in the copy of the network that it has.
    const key = nicKey(podId, nicId);
    if (!this.#leases.has(key)) this.#leases.set(key, lease);
    return lease;
  }

  adoptLease(lease: AddressLease): void {
    const key = nicKey(lease.podId, lease.nicId);
    if (!this.#leases.has(key)) this.#leases.set(key, lease);
  }

  async releaseAddress(lease: AddressLease): Promise<void> {
    const key = nicKey(lease.podId, lease.nicId);
    const held = this.#leases.get(key);
    const first = held?.addresses[0]?.address;
    const all = lease.addresses.length === 0 || lease.addresses.some(({ address }) => address === first);
    if (all) this.#leases.delete(key);
  }

  async attach(plan: NicPlan, { signal }: CallOptions): Promise<HostNic> {
    throwIfAborted(signal, 'attach');
    const { podId, nicId, lease } = plan;
    const key = nicKey(podId, nicId);
    const network = this.#network(lease.network);
    if (plan.endpoint !== 'builtin') throw notSupported('endpoint', 'builtin', plan.endpoint);
    if (plan.queues !== 1) throw notSupported('queues', '1', plan.queues);
    const endpoint = endpointFor(network, plan);
    await this.#take(key, endpoint.forwards, signal);
    const record: HostNicRecord = {
      version: 1,
      backend: BACKEND_NAME,
      network: lease.network,
      podId,
      nicId,
      data: null,
    };
    return { nicId, endpoint, record, handedOver: async () => {} };
  }

  async detach(record: HostNicRecord): Promise<void> {
    this.#attached.delete(nicKey(record.podId, record.nicId));
  }

  async publish(nic: HostNicRecord, lease: AddressLease, ports: readonly PortMapping[], { signal }: CallOptions) {
    throwIfAborted(signal, 'publish');
    const key = nicKey(nic.podId, nic.nicId);
    const held = this.#attached.get(key) ?? [];
    const added = this.forwards(lease, ports).filter((forward) => !held.some((other) => overlap(other, forward)));
    await this.#take(key, [...held, ...added], signal);
  }

  async unpublish(nic: HostNicRecord, ports: readonly PortMapping[]): Promise<void> {
    const key = nicKey(nic.podId, nic.nicId);
    // Of a forward the host's side alone tells which it is.
    const ended = expandPorts(ports, '0.0.0.0');
    const held = this.#attached.get(key);
    if (held) {
      this.#attached.set(
        key,
        held.filter((forward) => !ended.some((other) => overlap(other, forward))),
      );
    }
  }

  forwards(lease: AddressLease, ports: readonly PortMapping[]): readonly PortForward[] {
    return expandPorts(ports, lease.addresses.find(({ address }) => isIP(address) === 4)?.address);
  }

  /** Remembers what a NIC forwards, if all that is new is free. @throws NET_PORT_IN_USE */
  async #take(key: string, forwards: readonly PortForward[], signal: AbortSignal): Promise<void> {
    const before = this.#attached.get(key);
    // The NIC's own VM may listen already.
    const added = forwards.filter((forward) => !before?.some((other) => overlap(other, forward)));
    for (const [other, theirs] of this.#attached) {
      if (other === key) continue;
      const taken = added.find((forward) => theirs.some((held) => overlap(held, forward)));
      if (taken) throw portInUse(taken, `NIC ${other}`, { ...taken, holder: other });
    }
    this.#attached.set(key, forwards);
    try {
      await checkHostPorts(added, signal);
    } catch (error) {
      if (before) this.#attached.set(key, before);
      else this.#attached.delete(key);
      throw error;
    }
  }

  async status(): Promise<readonly NetworkStatus[]> {
    return [...this.#networks.values()].map(({ spec, plans, mtu }) => ({
      name: spec.name,
      subnets: plans.map(({ subnet }) => subnet),
      gateways: plans.map(({ gateway }) => gateway),
      mtu,
      drift: [],
    }));
  }

  /** There is nothing on the host to remove. */
  async teardown(network: string): Promise<void> {
    this.#network(network);
  }

  #network(name: string): Network {
    const network = this.#networks.get(name);
    if (network) return network;
    const known = [...this.#networks.keys()].join(', ') || 'none';
    throw new HyperplugError('NET_NOT_FOUND', `network: expected one of ${known}, got ${name}`, {
      details: { network: name },
    });
  }

  /** Two NICs in copies of one network would have the same gateway, and the guest could not tell them apart. */
  #refuseSecond({ network, podId, nicId }: AddressRequest): void {
    for (const lease of this.#leases.values()) {
      if (lease.podId !== podId || lease.nicId === nicId || lease.network !== network) continue;
      throw new HyperplugError(
        'NET_SPEC_INVALID',
        `interfaces.${nicId}.network: expected another network than ${network}, which NIC ${lease.nicId} of the pod is in (each NIC has a copy of its own); configure a second network`,
        { details: { field: `interfaces.${nicId}.network`, network, nicId, other: lease.nicId } },
      );
    }
  }
}

const nicKey = (podId: string, nicId: string) => `${podId}/${nicId}`;

function notSupported(field: string, expected: string, received: unknown): HyperplugError {
  return new HyperplugError('NOT_SUPPORTED', `${field}: expected ${expected}, got ${String(received)}`, {
    details: { field, expected, received },
  });
}

/** @throws NET_SPEC_INVALID naming the field. */
export function checkNetwork(spec: NetworkSpec): Network {
  const field = (name: string) => `network.networks.${spec.name}.${name}`;
  if (spec.bridge !== undefined) {
    throw fieldError(
      'NET_SPEC_INVALID',
      field('bridge'),
      "none (the hypervisor's own network has no bridge)",
      spec.bridge,
    );
  }
  const plans = spec.subnets.map((subnet, index) => planSubnet(field(`subnets[${index}]`), subnet));
  if (plans.length === 0 || new Set(plans.map(({ family }) => family)).size !== plans.length) {
    throw fieldError('NET_SPEC_INVALID', field('subnets'), 'one subnet, or one of each family', spec.subnets);
  }
  const min = plans.some(({ family }) => family === 6) ? IPV6_MIN_MTU : MTU.min;
  if (spec.mtu !== null && (!Number.isInteger(spec.mtu) || spec.mtu < min || spec.mtu > MTU.max)) {
    throw fieldError('NET_SPEC_INVALID', field('mtu'), `${min} to ${MTU.max}`, spec.mtu);
  }
  const bad = spec.dns.find((server) => isIP(server) === 0);
  if (bad !== undefined) throw fieldError('NET_SPEC_INVALID', field('dns'), 'IP addresses', bad);
  return { spec, plans, mtu: spec.mtu ?? MTU.max };
}

function leaseFor({ spec, plans, mtu }: Network, request: AddressRequest): AddressLease {
  const asked = request.addresses.map((text) => checkAddress(plans, text));
  if (new Set(asked.map(({ plan }) => plan)).size !== asked.length) {
    throw fieldError('IPAM_ADDRESS_INVALID', 'addresses', 'at most one of each family', request.addresses);
  }
  const given = asked.length > 0 ? asked : plans.map((plan) => ({ plan, address: plan.guest }));
  return {
    network: request.network,
    podId: request.podId,
    nicId: request.nicId,
    addresses: given.map(({ plan, address }) => ({ address, prefixLength: plan.prefixLength })),
    gateways: given.map(({ plan }) => plan.gateway),
    // One is enough, and QEMU's IPv6 one answers only where the host has a name server with an IPv6 address.
    dns: spec.dns.length > 0 ? spec.dns : [(given.find(({ plan }) => plan.family === 4) ?? given[0])?.plan.dns ?? ''],
    mtu,
  };
}

function endpointFor({ plans }: Network, { lease, ports }: NicPlan): BuiltinEndpoint {
  const families = lease.addresses.map(({ address }) => checkAddress(plans, address));
  const of = (family: 4 | 6) => families.find(({ plan }) => plan.family === family);
  const [ipv4, ipv6] = [of(4), of(6)];
  return deepFreeze({
    kind: 'builtin',
    ...(ipv4 && { ipv4: builtinFamily(ipv4.plan, ipv4.address) }),
    ...(ipv6 && { ipv6: builtinFamily(ipv6.plan, ipv6.address) }),
    forwards: expandPorts(ports, ipv4?.address),
    restricted: false,
  });
}
