import { isIP } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { type CallOptions, throwIfAborted } from '../../../core/calls.js';
import { combineErrors, fieldError, HyperplugError } from '../../../core/errors.js';
import type { BuiltinEndpoint, NicEndpoint, PortForward } from '../../../core/hypervisor.js';
import { deepFreeze } from '../../../core/json.js';
import type {
  AddressLease,
  AddressRequest,
  HostNic,
  HostNicRecord,
  InitOptions,
  NetworkBackend,
  NetworkCapabilities,
  NetworkSpec,
  NetworkStatus,
  NicPlan,
  NicTrace,
  PortMapping,
} from '../../../core/network.js';
import { formatAddress, parseSubnet, type Subnet } from '../../kit/subnets.js';
import { Faults } from '../faults.js';
import { type OpenForward, openForward, sameForward } from '../forwards.js';
import { FakeMachine } from '../machine.js';
import { FakeLeases, gatewayOf } from './leases.js';

export const FAKE_NETWORK_CAPABILITIES: NetworkCapabilities = deepFreeze({
  endpoints: ['tap-name', 'builtin'],
  hypervisorNetwork: false,
  needsRoot: false,
  multipleNetworks: true,
  families: [4, 6],
  staticAddress: true,
  podToPod: true,
  isolation: true,
  publish: ['tcp', 'udp'],
  livePublish: true,
  mtu: { min: 1280, max: 9000 },
});

export interface FakeNetworkOptions {
  readonly name?: string;
  /** Default: a machine of its own. Backends on one machine share addresses, bridges and NICs. */
  readonly machine?: FakeMachine;
  /** In place of some of FAKE_NETWORK_CAPABILITIES. */
  readonly capabilities?: Partial<NetworkCapabilities>;
}

interface Network {
  readonly spec: NetworkSpec;
  readonly subnets: readonly Subnet[];
}

/** What is there on a machine, whoever made it. */
class HostState {
  readonly leases = new FakeLeases();
  readonly nics = new Map<string, { readonly record: HostNicRecord; readonly ports: OpenForward[] }>();
  taps = 0;
}

const hosts = new WeakMap<FakeMachine, HostState>();
const DEFAULT_MTU = 1500;
const keyOf = ({ podId, nicId }: { podId: string; nicId: string }) => `${podId}/${nicId}`;

/**
 * Networks in memory: leases that managers share, taps and bridges on a FakeMachine, published ports that really are
 * taken. Methods are small so that a test can put a defect into one of them.
 */
export class FakeNetwork implements NetworkBackend {
  readonly name: string;
  readonly capabilities: NetworkCapabilities;
  readonly machine: FakeMachine;
  /** `init`: after the first bridge was made; `attach`: after tap and ports were; `detach`: before the tap goes; `publish`: after the
   * ports were opened. */
  readonly faults = new Faults<'init' | 'allocate' | 'attach' | 'detach' | 'release' | 'publish' | 'unpublish'>();
  protected networks = new Map<string, Network>();

  constructor(options: FakeNetworkOptions = {}) {
    this.name = options.name ?? 'fake';
    this.machine = options.machine ?? new FakeMachine();
    this.capabilities = deepFreeze({ ...FAKE_NETWORK_CAPABILITIES, ...options.capabilities });
    if (!hosts.has(this.machine)) hosts.set(this.machine, new HostState());
  }

  protected get host(): HostState {
    return hosts.get(this.machine) as HostState;
  }

  async configure(specs: readonly NetworkSpec[], _nics: unknown, { signal }: CallOptions): Promise<void> {
    throwIfAborted(signal, 'network configuration');
    this.networks = new Map(this.checkSpecs(specs).map((network) => [network.spec.name, network]));
  }

  /** Addresses that are held on the machine, with whose they are. */
  leases(): string[] {
    return this.host.leases.held.map(({ address, owner }) => `${address} of ${owner}`);
  }

  /** Host ports that are published on the machine, and the addresses they lead to. */
  publishedPorts(): number[] {
    return this.#openPorts().map(({ forward }) => forward.hostPort);
  }

  portTargets(): string[] {
    return this.#openPorts().map(({ forward }) => forward.guestAddress);
  }

  #openPorts(): OpenForward[] {
    return [...this.host.nics.values()].flatMap(({ ports }) => ports);
  }

  async init(specs: readonly NetworkSpec[], { signal, only }: InitOptions): Promise<void> {
    throwIfAborted(signal, 'network init');
    const networks = this.checkSpecs(specs, only);
    const made: string[] = [];
    try {
      for (const { spec } of networks) {
        if (only && !only.includes(spec.name)) continue;
        await turn();
        throwIfAborted(signal, 'network init');
        if (this.makeBridge(spec)) made.push(this.bridgeOf(spec));
        this.faults.pass('init');
      }
      this.networks = new Map(networks.map((network) => [network.spec.name, network]));
    } catch (error) {
      for (const bridge of made) this.machine.bridges.delete(bridge);
      throw error;
    }
  }

  protected bridgeOf({ bridge, name }: NetworkSpec): string {
    return bridge ?? `fakebr-${name}`;
  }

  /** False: it was there. */
  protected makeBridge(spec: NetworkSpec): boolean {
    const bridge = this.bridgeOf(spec);
    if (this.capabilities.hypervisorNetwork || this.machine.bridges.get(bridge) === spec.name) return false;
    this.machine.bridges.set(bridge, spec.name);
    return true;
  }

  /** @throws NET_SPEC_INVALID naming the field; NOT_SUPPORTED. */
  protected checkSpecs(specs: readonly NetworkSpec[], only?: readonly string[]): Network[] {
    const names = new Set<string>();
    if (specs.length > 1 && !this.capabilities.multipleNetworks) this.refuse('multipleNetworks');
    return specs.flatMap((spec) => {
      if (names.has(spec.name)) throw fieldError('NET_SPEC_INVALID', 'name', 'names that differ', spec.name);
      names.add(spec.name);
      try {
        return [{ spec, subnets: this.checkSpec(spec) }];
      } catch (error) {
        if (only?.includes(spec.name) ?? true) throw error;
        return [];
      }
    });
  }

  protected checkSpec(spec: NetworkSpec): Subnet[] {
    const { mtu, families, isolation, hypervisorNetwork } = this.capabilities;
    const invalid = (field: string, expected: string, received: unknown) =>
      fieldError('NET_SPEC_INVALID', `network.networks.${spec.name}.${field}`, expected, received);
    const subnets = spec.subnets.map((text) => {
      const subnet = parseSubnet(text);
      if (!subnet) throw invalid('subnets', 'CIDRs', text);
      if (!families.includes(subnet.family)) this.refuse(`IPv${subnet.family}`);
      return subnet;
    });
    if (subnets.length === 0 || new Set(subnets.map(({ family }) => family)).size < subnets.length) {
      throw invalid('subnets', 'one subnet, or one of each family', spec.subnets);
    }
    if (spec.mtu !== null && (spec.mtu < mtu.min || spec.mtu > mtu.max)) {
      throw invalid('mtu', `${mtu.min} to ${mtu.max}`, spec.mtu);
    }
    const badDns = spec.dns.find((server) => isIP(server) === 0);
    if (badDns !== undefined) throw invalid('dns', 'IP addresses', badDns);
    if (spec.bridge !== undefined && hypervisorNetwork) throw invalid('bridge', 'none', spec.bridge);
    if (spec.isolated && !isolation) this.refuse('isolation');
    return subnets;
  }

  protected refuse(what: string): never {
    throw new HyperplugError('NOT_SUPPORTED', `network ${this.name} does not declare ${what}`);
  }

  protected network(name: string): Network {
    const network = this.networks.get(name);
    if (network) return network;
    throw new HyperplugError('NET_NOT_FOUND', `no network ${name} is configured`, { details: { network: name } });
  }

  async allocateAddress(request: AddressRequest, { signal }: CallOptions): Promise<AddressLease> {
    throwIfAborted(signal, 'allocate address');
    const { spec, subnets } = this.network(request.network);
    if (request.addresses.length > 0 && !this.capabilities.staticAddress) this.refuse('staticAddress');
    await turn();
    throwIfAborted(signal, 'allocate address');
    this.faults.pass('allocate');
    const addresses = this.pick({ name: spec.name, subnets }, request);
    const { network, podId, nicId } = request;
    const families = new Set(addresses.map(({ address }) => isIP(address)));
    const gateways = subnets.filter(({ family }) => families.has(family)).map(gatewayOf);
    const dns = spec.dns.length > 0 ? spec.dns : gateways;
    return deepFreeze({ network, podId, nicId, addresses, gateways, dns, mtu: spec.mtu ?? DEFAULT_MTU });
  }

  /** Without podToPod each NIC has a network of its own, so that addresses may repeat. */
  protected pick(network: { name: string; subnets: readonly Subnet[] }, request: AddressRequest) {
    return (this.capabilities.podToPod ? this.host.leases : new FakeLeases()).allocate(network, request);
  }

  async releaseAddress(lease: AddressLease, _options: CallOptions): Promise<void> {
    await turn();
    this.faults.pass('release');
    this.host.leases.release(lease);
  }

  async attach(plan: NicPlan, { signal }: CallOptions): Promise<HostNic> {
    throwIfAborted(signal, 'attach');
    this.network(plan.lease.network);
    if (!this.capabilities.endpoints.includes(plan.endpoint)) this.refuse(`endpoint ${plan.endpoint}`);
    for (const { protocol, guestCount } of plan.ports) {
      if (!this.capabilities.publish.includes(protocol)) this.refuse(`publishing ${protocol}`);
      if (guestCount !== undefined && !this.capabilities.publishToAny) this.refuse('publishToAny');
    }
    const key = keyOf(plan);
    await this.dropNic(key);
    const tap = plan.endpoint === 'tap-name' ? this.makeTap(plan) : null;
    const ports: OpenForward[] = [];
    try {
      await this.openPorts(plan, ports);
      this.faults.pass('attach');
      throwIfAborted(signal, 'attach');
      const { lease, podId, nicId } = plan;
      const record = this.record({
        version: 1,
        backend: this.name,
        network: lease.network,
        podId,
        nicId,
        data: { tap },
      });
      this.host.nics.set(key, { record, ports });
      return { nicId, record, endpoint: this.endpoint(plan, tap), handedOver: async () => {} };
    } catch (error) {
      await this.undoAttach(tap, ports);
      throw error;
    }
  }

  protected record(record: HostNicRecord): HostNicRecord {
    return deepFreeze(record);
  }

  protected makeTap({ podId, nicId }: NicPlan): string {
    const name = `ftap${++this.host.taps}`;
    this.machine.taps.set(name, { name, owner: `${podId}/${nicId}`, holder: undefined });
    return name;
  }

  protected endpoint(plan: NicPlan, tap: string | null): NicEndpoint {
    return tap === null ? this.builtinEndpoint(plan) : deepFreeze({ kind: 'tap-name', name: tap });
  }

  protected builtinEndpoint(plan: NicPlan): BuiltinEndpoint {
    const { subnets, spec } = this.network(plan.lease.network);
    const family = (wanted: 4 | 6) => {
      const subnet = subnets.find((each) => each.family === wanted);
      const guest = plan.lease.addresses.find(({ address }) => isIP(address) === wanted)?.address;
      if (!subnet || guest === undefined) return undefined;
      const gateway = gatewayOf(subnet);
      return { subnet: subnet.text, gateway, dns: formatAddress(subnet.first + 3n, wanted), guest };
    };
    const [ipv4, ipv6] = [family(4), family(6)];
    const restricted = spec.isolated;
    const forwards = this.portForwards(plan);
    return deepFreeze({ kind: 'builtin', ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }), forwards, restricted });
  }

  /** Of a builtin endpoint they are the hypervisor's to make. */
  forwards(lease: AddressLease, ports: readonly PortMapping[]): readonly PortForward[] {
    return this.capabilities.endpoints[0] === 'builtin' ? this.portForwards({ lease, ports }) : [];
  }

  protected portForwards({ ports, lease }: Pick<NicPlan, 'ports' | 'lease'>): PortForward[] {
    return ports.flatMap(({ protocol, hostAddress, hostPort, guestPort, count }) =>
      Array.from({ length: count }, (_, at) => ({
        protocol: protocol as 'tcp' | 'udp',
        hostAddress,
        hostPort: hostPort + at,
        guestAddress: lease.addresses.find(({ address }) => isIP(address) === isIP(hostAddress))?.address ?? '',
        guestPort: guestPort + at,
      })),
    );
  }

  /** Takes the host's ports; those of a builtin endpoint are the hypervisor's to take, and are only tried. */
  protected async openPorts(plan: NicPlan, opened: OpenForward[]): Promise<void> {
    for (const forward of this.portForwards(plan)) {
      opened.push(await openForward(forward, (connection) => void connection.destroy()));
    }
    if (plan.endpoint === 'builtin') await this.closePorts(opened);
  }

  protected async closePorts(ports: OpenForward[]): Promise<void> {
    await Promise.all(ports.splice(0).map((port) => port.close()));
  }

  protected async undoAttach(tap: string | null, ports: OpenForward[]): Promise<void> {
    await this.closePorts(ports);
    if (tap !== null) this.machine.taps.delete(tap);
  }

  async detach(record: HostNicRecord, _options: CallOptions): Promise<void> {
    await turn();
    await this.dropNic(keyOf(record));
  }

  protected async dropNic(key: string): Promise<void> {
    const nic = this.host.nics.get(key);
    if (!nic) return;
    const errors: unknown[] = [];
    try {
      this.faults.pass('detach');
      const { tap } = nic.record.data as { tap: string | null };
      if (tap !== null) this.machine.taps.delete(tap);
    } catch (error) {
      errors.push(error);
    }
    await this.closePorts(nic.ports);
    if (errors.length > 0) throw combineErrors('NET_INIT_FAILED', `detaching ${key}`, errors);
    this.host.nics.delete(key);
  }

  async publish(
    nic: HostNicRecord,
    lease: AddressLease,
    ports: readonly PortMapping[],
    { signal }: CallOptions,
  ): Promise<void> {
    throwIfAborted(signal, 'publish');
    const held = this.host.nics.get(keyOf(nic));
    if (!held) throw new HyperplugError('NET_NOT_FOUND', `NIC ${keyOf(nic)} is not attached`);
    const own = this.capabilities.endpoints[0] !== 'builtin';
    const opened: OpenForward[] = [];
    try {
      for (const forward of this.portForwards({ lease, ports })) {
        if (held.ports.some((port) => sameForward(port.forward, forward))) continue;
        opened.push(await openForward(forward, (connection) => void connection.destroy()));
      }
      this.faults.pass('publish');
    } catch (error) {
      await this.closePorts(opened);
      throw error;
    }
    if (own) held.ports.push(...opened);
    else await this.closePorts(opened);
  }

  async unpublish(nic: HostNicRecord, ports: readonly PortMapping[], _options: CallOptions): Promise<void> {
    await turn();
    this.faults.pass('unpublish');
    const held = this.host.nics.get(keyOf(nic));
    if (!held) return;
    const mine = ({ forward }: OpenForward) =>
      ports.some(
        ({ protocol, hostAddress, hostPort, count }) =>
          forward.protocol === protocol &&
          forward.hostAddress === hostAddress &&
          forward.hostPort >= hostPort &&
          forward.hostPort < hostPort + count,
      );
    const doomed = held.ports.filter(mine);
    held.ports.splice(0, held.ports.length, ...held.ports.filter((port) => !mine(port)));
    await this.closePorts(doomed);
  }

  async traces({ signal }: CallOptions): Promise<readonly NicTrace[]> {
    throwIfAborted(signal, 'traces of NICs');
    const traces = new Map<string, NicTrace>();
    const add = (key: string, parts: Partial<NicTrace>) => {
      const [podId = '', nicId = ''] = key.split('/');
      const none = { podId, nicId, network: null, devices: [], addresses: [], ports: [] };
      const before = traces.get(key) ?? none;
      traces.set(key, {
        ...before,
        network: parts.network ?? before.network,
        devices: [...before.devices, ...(parts.devices ?? [])],
        addresses: [...before.addresses, ...(parts.addresses ?? [])],
        ports: [...before.ports, ...(parts.ports ?? [])],
      });
    };
    for (const { name, owner } of this.machine.taps.values()) add(owner, { devices: [name] });
    for (const { address, owner, network } of this.host.leases.held) add(owner, { network, addresses: [address] });
    for (const [key, { record, ports }] of this.host.nics) {
      const mappings = ports.map(({ forward: { guestAddress: _, ...forward } }) => ({ ...forward, count: 1 }));
      add(key, { network: record.network, ports: mappings });
    }
    return [...traces.values()];
  }

  async status({ signal }: CallOptions): Promise<readonly NetworkStatus[]> {
    throwIfAborted(signal, 'network status');
    return [...this.networks.values()].map(({ spec, subnets }) => ({
      name: spec.name,
      ...(this.capabilities.hypervisorNetwork
        ? {}
        : { present: this.drift(spec).length === 0, bridge: this.bridgeOf(spec) }),
      subnets: subnets.map(({ text }) => text),
      gateways: subnets.map(gatewayOf),
      mtu: spec.mtu ?? DEFAULT_MTU,
      drift: this.drift(spec),
    }));
  }

  protected drift(spec: NetworkSpec): string[] {
    const there = this.capabilities.hypervisorNetwork || this.machine.bridges.get(this.bridgeOf(spec)) === spec.name;
    return there ? [] : [`bridge ${this.bridgeOf(spec)} is missing`];
  }

  async teardown(name: string, _options: CallOptions): Promise<void> {
    const { spec } = this.network(name);
    await turn();
    this.machine.bridges.delete(this.bridgeOf(spec));
  }
}
