import type { GuestNic } from '../agent.js';
import type { UserCallOptions } from '../calls.js';
import type { AddressLease, InterfaceAddress, PortMapping, TransportProtocol } from '../network.js';
import type { NicInput, PortInput } from './interface-spec.js';

/** A NIC of a pod: known by id and MAC, whatever the guest calls it. */
export interface PodNic {
  readonly id: string;
  /** `loopback`: the guest's own `lo`, which has addresses and nothing on the host. */
  readonly kind: 'network' | 'loopback';
  readonly mac: string;
  /** null: the kernel's choice (`guest.name` tells it). */
  readonly name: string | null;
  readonly mtu: number;
  /** All that it was given: those of the lease, and those added from elsewhere. */
  readonly addresses: readonly InterfaceAddress[];
  /** null for the loopback. */
  readonly lease: AddressLease | null;
  readonly ports: readonly PortMapping[];
  /**
   * What the guest said it has, when it was last set up or read; null: it has no such NIC; undefined: not by this process,
   * or the agent cannot read back.
   */
  readonly guest?: GuestNic | null;
}

/** What nics.update() changes; the rest stays. */
export interface NicChange {
  /** `192.168.123.9` (of the NIC's network, taken from its pool) or `10.1.2.3/24`. */
  readonly addAddresses?: readonly string[];
  /** With or without prefix length. One that it does not have is no error. */
  readonly removeAddresses?: readonly string[];
  readonly name?: string;
  readonly mtu?: number;
}

export interface RouteInput {
  /** CIDR, one address, or `default` (of the gateway's family, else IPv4). */
  readonly destination: string;
  readonly gateway?: string;
  /** Id of the NIC it leaves by; without it the guest's kernel finds it by the gateway. */
  readonly nic?: string;
  readonly metric?: number;
}

export interface PodRoute extends RouteInput {
  /** The guest's name of the device, where the guest told. */
  readonly device?: string;
  /** `pod`: by us, and recorded; `guest`: its kernel's own (subnets of addresses) or set in the guest. */
  readonly origin: 'pod' | 'guest';
  /** It is recorded, and the guest does not have it. */
  readonly missing?: true;
}

/** Published ports by their host side. */
export interface PortSelector {
  /** `8080` or `"8080-8090"`: a whole mapping, as it was published. */
  readonly hostPort: number | string;
  /** Default `tcp`. */
  readonly protocol?: TransportProtocol;
  /** Default: on whatever address. */
  readonly hostAddress?: string;
}

/** The NICs of a running pod. Any number of calls at a time. Iterating gives list(). */
export interface PodNics extends Iterable<PodNic> {
  /** In the order in which they were added, as this process knows them. */
  list(): readonly PodNic[];
  get(id: string): PodNic | undefined;
  /**
   * Adds NICs at once, all or none: each has an address, a device and what was asked, as the guest read it back.
   * @throws POD_SPEC_INVALID, VM_NIC_EXISTS, VM_NO_SLOT, NOT_SUPPORTED and the plugins' codes. Nothing remains then.
   */
  add(specs: readonly NicInput[], options?: UserCallOptions): Promise<readonly PodNic[]>;
  add(spec?: NicInput, options?: UserCallOptions): Promise<PodNic>;
  /**
   * Takes a NIC away, with its ports, routes and addresses; resolves when the device is known to be gone.
   * @throws VM_NIC_NOT_FOUND. On rejection the NIC keeps slot, addresses and record, and a retry goes on.
   */
  remove(id: string, options?: UserCallOptions): Promise<void>;
  /** All or nothing. @throws VM_NIC_NOT_FOUND, POD_SPEC_INVALID, IPAM_*, AGENT_REFUSED. */
  update(id: string, change: NicChange, options?: UserCallOptions): Promise<PodNic>;
  /** Asks the guest for all of them: `guest` is as of now. @throws NOT_SUPPORTED the agent cannot read back. */
  read(options?: UserCallOptions): Promise<readonly PodNic[]>;
}

export interface PodPort extends PortMapping {
  /** Id of the NIC it leads to. */
  readonly nic: string;
}

/** Published ports of a running pod. */
export interface PodPorts {
  list(): readonly PodPort[];
  /**
   * Publishes ports of a NIC (`interface`, default: the first). All or none.
   * @throws POD_SPEC_INVALID, VM_NIC_NOT_FOUND, NET_PORT_IN_USE, NOT_SUPPORTED, FIREWALL_FAILED.
   */
  add(ports: PortInput | readonly PortInput[], options?: UserCallOptions): Promise<readonly PortMapping[]>;
  /** Returns what was withdrawn: a selector that matches nothing is no error. */
  remove(ports: PortSelector | readonly PortSelector[], options?: UserCallOptions): Promise<readonly PortMapping[]>;
}

/** Routes in a running pod. */
export interface PodRoutes {
  /** The guest's routes, then those that we set and that it lacks; where the agent cannot read back, those that we set. */
  list(options?: UserCallOptions): Promise<readonly PodRoute[]>;
  /** All or none. @throws POD_SPEC_INVALID, VM_NIC_NOT_FOUND, AGENT_REFUSED with the guest kernel's reason. */
  add(routes: RouteInput | readonly RouteInput[], options?: UserCallOptions): Promise<void>;
  /** One that is gone is no error. */
  remove(routes: RouteInput | readonly RouteInput[], options?: UserCallOptions): Promise<void>;
}
