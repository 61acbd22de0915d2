import type { ExecExit, GuestNic, GuestProcess, TerminalSize } from '../agent.js';
import type { UserCallOptions } from '../calls.js';
import type { Diagnosis } from '../diagnosis.js';
import type { VmExit } from '../hypervisor.js';
import type { AddressLease, InterfaceAddress, NetworkStatus, PortMapping, TransportProtocol } from '../network.js';
import type { NicInput, PortInput } from './interface-spec.js';

/** `creating` and `removing` are seen only from other processes, or after one died in the middle. */
export type PodState = 'creating' | 'running' | 'exited' | 'removing';

export interface PodStatus {
  readonly id: string;
  readonly state: PodState;
  readonly createdAt: string;
  readonly hypervisor: string;
  readonly network: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly pid: number | null;
  readonly keep: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly ports: readonly PortMapping[];
  readonly nics: readonly PodNic[];
  /** Those that we set, from the record. */
  readonly routes: readonly PodRoute[];
  readonly consoleLogPath: string;
}

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

/** What updateNic() changes; the rest stays. */
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

export interface ExecRequest {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
  readonly user?: string;
  readonly terminal?: boolean;
  readonly size?: TerminalSize;
}

/** A running pod that this process holds. */
export interface Pod {
  readonly id: string;
  /** In the order in which they were added. */
  readonly nics: readonly PodNic[];
  readonly consoleLogPath: string;
  /** Resolves once, when its VM has exited. */
  readonly exited: Promise<VmExit>;
  exec(request: ExecRequest, options?: UserCallOptions): Promise<GuestProcess>;
  /** Runs to the end and collects output, at most `maxBytes` (default 64 MiB) of each stream. */
  run(
    request: ExecRequest & { readonly input?: Uint8Array | string },
    options?: UserCallOptions,
  ): Promise<ExecExit & { readonly stdout: Buffer; readonly stderr: Buffer }>;
  writeFile(path: string, content: Uint8Array, options?: UserCallOptions): Promise<void>;
  readFile(path: string, options?: UserCallOptions): Promise<Buffer>;
  /**
   * Adds NICs to the running pod, at once, all or none: each has an address, a device and what was asked, as the guest
   * read it back. Any number of calls at a time.
   * @throws POD_SPEC_INVALID, VM_NIC_EXISTS, VM_NO_SLOT, NOT_SUPPORTED and the plugins' codes. Nothing remains then.
   */
  addNics(specs: readonly NicInput[], options?: UserCallOptions): Promise<readonly PodNic[]>;
  addNic(spec: NicInput, options?: UserCallOptions): Promise<PodNic>;
  /**
   * Takes a NIC away, with its ports, routes and addresses; resolves when the device is known to be gone.
   * @throws VM_NIC_NOT_FOUND. On rejection the NIC keeps slot, addresses and record, and a retry goes on.
   */
  removeNic(id: string, options?: UserCallOptions): Promise<void>;
  /** All or nothing. @throws VM_NIC_NOT_FOUND, POD_SPEC_INVALID, IPAM_*, AGENT_REFUSED. */
  updateNic(id: string, change: NicChange, options?: UserCallOptions): Promise<PodNic>;
  /** Asks the guest for all of them: `guest` is as of now. @throws NOT_SUPPORTED the agent cannot read back. */
  readNics(options?: UserCallOptions): Promise<readonly PodNic[]>;
  /** The guest's routes, then those that we set and that it lacks; where the agent cannot read back, those that we set. */
  routes(options?: UserCallOptions): Promise<readonly PodRoute[]>;
  /** All or none. @throws POD_SPEC_INVALID, VM_NIC_NOT_FOUND, AGENT_REFUSED with the guest kernel's reason. */
  addRoutes(routes: readonly RouteInput[], options?: UserCallOptions): Promise<void>;
  /** One that is gone is no error. */
  removeRoutes(routes: readonly RouteInput[], options?: UserCallOptions): Promise<void>;
  /**
   * Publishes ports of a NIC (`interface`, default: the first). All or none.
   * @throws POD_SPEC_INVALID, VM_NIC_NOT_FOUND, NET_PORT_IN_USE, NOT_SUPPORTED, FIREWALL_FAILED.
   */
  publish(ports: readonly PortInput[], options?: UserCallOptions): Promise<readonly PortMapping[]>;
  /** Returns what was withdrawn: a selector that matches nothing is no error. */
  unpublish(ports: readonly PortSelector[], options?: UserCallOptions): Promise<readonly PortMapping[]>;
  /** Ends the VM and undoes all that was made for it. Idempotent. */
  remove(options?: UserCallOptions): Promise<void>;
  /** Lets go of a kept pod: it runs on. @throws NOT_SUPPORTED for one that was not created with `keep`. */
  release(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A configured network, as it was found. */
export interface NetworkReport extends NetworkStatus {
  /** `absent`: nothing has been made of it yet, or it was torn down; the next pod makes it. */
  readonly state: 'ready' | 'drifted' | 'absent';
  /** The plugin whose network it is. */
  readonly backend: string;
  /** Ids of the pods that have a NIC in it, whatever their state. */
  readonly pods: readonly string[];
}

export interface NetworkRepair {
  readonly name: string;
  /** What differed before, in words; empty: nothing did. */
  readonly mended: readonly string[];
}

/** The configured networks. Without names: all of them. @throws NET_NOT_FOUND before anything is done. */
export interface Networks {
  /** Makes them ready, as createPod() does by itself. @throws NET_INIT_FAILED, FIREWALL_FAILED. */
  init(names?: readonly string[], options?: UserCallOptions): Promise<readonly NetworkReport[]>;
  /** Looks, and changes nothing. */
  status(names?: readonly string[], options?: UserCallOptions): Promise<readonly NetworkReport[]>;
  /**
   * Puts right what differs, and makes what is absent; published ports of running pods too.
   * @throws NET_INIT_FAILED something of others is in the way, or it still differs; FIREWALL_FAILED.
   */
  repair(names?: readonly string[], options?: UserCallOptions): Promise<readonly NetworkRepair[]>;
  /**
   * Removes what init() made. Idempotent; goes on past failures and reports all.
   * @throws NET_IN_USE before anything is removed: pods have NICs in it, unless `force`.
   */
  teardown(
    names?: readonly string[],
    options?: UserCallOptions & { readonly force?: boolean },
  ): Promise<readonly string[]>;
}

/** What the command line and the SDK hold; made by createHyperplug(). */
export interface Hyperplug {
  readonly networks: Networks;
  /** Creates and starts a pod; on rejection nothing remains. @throws POD_SPEC_INVALID, POD_ALREADY_EXISTS and the plugins' codes. */
  createPod(spec: unknown, options?: UserCallOptions): Promise<Pod>;
  /** Takes hold of a kept pod. @throws POD_NOT_FOUND, POD_NOT_RUNNING, POD_BUSY. */
  openPod(id: string, options?: UserCallOptions): Promise<Pod>;
  listPods(options?: UserCallOptions): Promise<readonly PodStatus[]>;
  /** @throws POD_NOT_FOUND; POD_BUSY when another process holds it, unless `force`. */
  removePod(id: string, options?: UserCallOptions & { readonly force?: boolean }): Promise<void>;
  /** Builds the guest image if need be and starts the plugins; createPod does it by itself. */
  prepare(options?: UserCallOptions): Promise<void>;
  diagnose(options?: UserCallOptions): Promise<readonly Diagnosis[]>;
  /** Stops the plugins. Pods that are still held are removed, kept ones released. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
