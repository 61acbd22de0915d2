import type { CallOptions } from './calls.js';
import type { Diagnosis } from './diagnosis.js';
import type { NicEndpoint, NicEndpointKind, PortForward } from './hypervisor.js';
import type { JsonValue } from './json.js';

export type TransportProtocol = 'tcp' | 'udp' | 'sctp';

/** A network as configured under `network.networks.NAME`; complete and frozen. */
export interface NetworkSpec {
  readonly name: string;
  /** Canonical CIDRs: at most one of each family, at least one. */
  readonly subnets: readonly string[];
  /** The bridge to make or use; backends without bridges refuse it. */
  readonly bridge?: string;
  /** `null`: follow the uplink. */
  readonly mtu: number | null;
  /** VMs of this network do not reach each other or other networks. */
  readonly isolated: boolean;
  /** Name servers for the guests; empty: the backend's own choice. */
  readonly dns: readonly string[];
  /** Who may reach the pods from elsewhere; undefined: whoever the host's routes let. */
  readonly allow?: AllowList;
}

/**
 * The original's portmappingWhiteLists. Where either list has an entry, what comes to the pods from outside their network is
 * dropped, but for answers, ICMP, and what is listed. The host itself always may.
 */
export interface AllowList {
  /** CIDRs from which everything may come. */
  readonly internal: readonly string[];
  /** CIDRs from which published ports may be reached, and nothing else. */
  readonly external: readonly string[];
}

export interface NetworkCapabilities {
  /** The kinds attach() can make; core takes the first that the driver declares too. */
  readonly endpoints: readonly NicEndpointKind[];
  /** The network is the hypervisor's own: core calls `init`, which then only checks, and `HypervisorDriver.initNetwork`. */
  readonly hypervisorNetwork: boolean;
  readonly needsRoot: boolean;
  readonly multipleNetworks: boolean;
  readonly families: readonly (4 | 6)[];
  /** A NIC may ask for a certain address. */
  readonly staticAddress: boolean;
  /** Pods of one network reach each other. */
  readonly podToPod: boolean;
  readonly isolation: boolean;
  readonly publish: readonly TransportProtocol[];
  /** Ports can be published and unpublished while the NIC is attached. */
  readonly livePublish: boolean;
  readonly mtu: { readonly min: number; readonly max: number };
  /** A NIC may be given a tap of the user's by its name (`NicPlan.tap`). undefined: false. */
  readonly tapByName?: boolean;
  /** A NIC may say who reaches it from outside its network (`NicPlan.allow`). undefined: false. */
  readonly restricts?: boolean;
  /** One port of the host may lead to several of the guest (`PortMapping.guestCount`). undefined: false. */
  readonly publishToAny?: boolean;
}

/** `10.0.2.15/24`: an address with the prefix length of its subnet. */
export interface InterfaceAddress {
  readonly address: string;
  readonly prefixLength: number;
}

export interface AddressRequest {
  readonly network: string;
  /** Whose it is, for the record: pod id and NIC id. */
  readonly podId: string;
  readonly nicId: string;
  /** Asked-for addresses; empty: one of each of the network's families. */
  readonly addresses: readonly string[];
}

/** What a NIC was given. */
export interface AddressLease {
  readonly network: string;
  readonly podId: string;
  readonly nicId: string;
  readonly addresses: readonly InterfaceAddress[];
  /** The network's gateway of each family the lease has. */
  readonly gateways: readonly string[];
  readonly dns: readonly string[];
  readonly mtu: number;
}

/** `hostPort + i → guestPort + i` for `i < count`; with `guestCount`: the one host port → any of the guest's. */
export interface PortMapping {
  readonly protocol: TransportProtocol;
  /** `0.0.0.0`, `::` or one address of the host. */
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly guestPort: number;
  readonly count: number;
  /** With `count` 1: each connection to one of as many ports of the guest, by chance. undefined: `count`. Else at least 2. */
  readonly guestCount?: number | undefined;
}

export interface NicPlan {
  readonly podId: string;
  readonly nicId: string;
  readonly mac: string;
  readonly mtu: number;
  readonly queues: number;
  readonly lease: AddressLease;
  readonly ports: readonly PortMapping[];
  /** A tap of the user's, by name, that is used as it is: made, enslaved and removed by its owner. */
  readonly tap?: string;
  /** Who may reach it from outside its network, beside what the network itself says; undefined: no restriction. */
  readonly allow?: AllowList;
  /** The kind core chose from both sides' declarations. */
  readonly endpoint: NicEndpointKind;
  /** With endpoint `interface`: HypervisorVm.netnsPath, the namespace that it is to be put into. */
  readonly netnsPath?: string;
}

/** The host side of a NIC. */
export interface HostNic {
  readonly nicId: string;
  readonly endpoint: NicEndpoint;
  /** What detach() and another manager need. JSON. */
  readonly record: HostNicRecord;
  /** Tells the backend that the driver has its own hold of the endpoint: our copies of descriptors are closed, once. */
  handedOver(): Promise<void>;
}

export interface HostNicRecord {
  readonly version: 1;
  readonly backend: string;
  readonly network: string;
  readonly podId: string;
  readonly nicId: string;
  /** The backend's own. null: attach() has not answered yet; detach() then removes whatever this NIC has. */
  readonly data: JsonValue;
}

/** Since the NIC was attached. */
export interface NicCounters {
  readonly receivedBytes: number;
  readonly receivedPackets: number;
  readonly sentBytes: number;
  readonly sentPackets: number;
}

/** A NIC that runs, as its pod's record has it. */
export interface RunningNic {
  readonly record: HostNicRecord;
  readonly lease: AddressLease;
  readonly ports: readonly PortMapping[];
  readonly allow?: AllowList;
}

/** What this machine has of one NIC, by the marks on it and no record: whoever made it, and whether or not that lives. */
export interface NicTrace {
  readonly podId: string;
  readonly nicId: string;
  /** null: it cannot be told which. */
  readonly network: string | null;
  /** Names of links. */
  readonly devices: readonly string[];
  /** Without prefix length. */
  readonly addresses: readonly string[];
  readonly ports: readonly PortMapping[];
}

export interface NetworkStatus {
  readonly name: string;
  /** False: nothing stands of what init() makes; undefined: there is nothing to make. */
  readonly present?: boolean;
  /** The device that its NICs meet on, where there is one. */
  readonly bridge?: string;
  readonly subnets: readonly string[];
  readonly gateways: readonly string[];
  readonly mtu: number;
  /** Empty: as it should be. Else what differs, in words. */
  readonly drift: readonly string[];
}

export interface InitOptions extends CallOptions {
  /** Names of the networks to make; undefined: all. */
  readonly only?: readonly string[] | undefined;
}

/** What a network plugin implements. All calls are idempotent and may run at once, from several processes. */
export interface NetworkBackend {
  readonly name: string;
  readonly capabilities: NetworkCapabilities;
  start?(options: CallOptions): Promise<void>;
  stop?(options: CallOptions): Promise<void>;
  /**
   * Tells the backend its networks and the NICs that run in them, whoever attached them, and makes nothing: status(),
   * repair() and teardown() go by that then. init() tells it the networks, too.
   * @throws NET_SPEC_INVALID.
   */
  configure?(networks: readonly NetworkSpec[], nics: readonly RunningNic[], options: CallOptions): Promise<void>;
  /**
   * Makes the configured networks ready: all, or those of `only`. It knows them all then, and keeps isolated ones apart
   * from such as others made; that one which is not asked for cannot be is in nobody's way. With `hypervisorNetwork` it
   * only checks the specifications.
   * @throws NET_SPEC_INVALID: nothing was made; NET_INIT_FAILED, FIREWALL_FAILED: others of them may have been.
   */
  init(networks: readonly NetworkSpec[], options: InitOptions): Promise<void>;
  /**
   * A NIC that holds addresses already may ask for further ones by name; the lease is then of those alone.
   * @throws NET_NOT_FOUND, IPAM_*. On rejection nothing is allocated.
   */
  allocateAddress(request: AddressRequest, options: CallOptions): Promise<AddressLease>;
  /** A lease that another process took, told before this one changes its pod: for a backend that keeps leases in memory. */
  adoptLease?(lease: AddressLease): void;
  /** Gives back the lease's addresses, as far as its NIC holds them. Without addresses: whatever it holds. Idempotent. */
  releaseAddress(lease: AddressLease, options: CallOptions): Promise<void>;
  /**
   * Makes the host side of a NIC and publishes its ports.
   * @throws NET_PORT_IN_USE, NOT_SUPPORTED. On rejection nothing remains.
   */
  attach(plan: NicPlan, options: CallOptions): Promise<HostNic>;
  /** Removes what attach() made. Idempotent; goes on past failures and reports all. */
  detach(record: HostNicRecord, options: CallOptions): Promise<void>;
  /**
   * With `livePublish`: publishes ports of an attached NIC beside those it has. All or none; one that it has already is no
   * error. Where the network is the hypervisor's own, core then makes the forwards().
   * @throws NET_PORT_IN_USE, NOT_SUPPORTED, FIREWALL_FAILED.
   */
  publish?(nic: HostNicRecord, lease: AddressLease, ports: readonly PortMapping[], options: CallOptions): Promise<void>;
  /** With `livePublish`: one that is not published is no error. Core has ended the forwards() before. */
  unpublish?(nic: HostNicRecord, ports: readonly PortMapping[], options: CallOptions): Promise<void>;
  /** What these ports are to a hypervisor that has to forward them; missing: nothing, ever. */
  forwards?(lease: AddressLease, ports: readonly PortMapping[]): readonly PortForward[];
  /** Sets the MTU of the host side; missing: it has none of its own. */
  setMtu?(nic: HostNicRecord, mtu: number, options: CallOptions): Promise<void>;
  /** What has gone through an attached NIC, as its pod sees it; missing, or null: nothing on the host counts it. */
  counters?(nic: HostNicRecord, options: CallOptions): Promise<NicCounters | null>;
  status(options: CallOptions): Promise<readonly NetworkStatus[]>;
  /** Puts right what status() finds, of one network or of all; removes what bears our mark and belongs to nothing. */
  repair?(network: string | undefined, options: CallOptions): Promise<void>;
  /** Removes what init() made for this network. Idempotent. @throws NET_NOT_FOUND. */
  teardown(network: string, options: CallOptions): Promise<void>;
  /**
   * Every NIC of which there is something on this machine that says it is ours; changes nothing. What another state
   * directory has is not among it. detach() with `data` null and releaseAddress() without addresses remove what it tells.
   * Missing: nothing of this backend outlives its process.
   */
  traces?(options: CallOptions): Promise<readonly NicTrace[]>;
  diagnose?(options: CallOptions): Promise<readonly Diagnosis[]>;
}
