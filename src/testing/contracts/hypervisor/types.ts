import type { CallOptions } from '../../../core/calls.js';
import type {
  HypervisorCapabilities,
  HypervisorDriver,
  HypervisorVm,
  NicEndpoint,
  ProcessIdentity,
  VmNic,
  VmSpec,
} from '../../../core/hypervisor.js';
import type { ContractTimeouts } from '../../kit/timeouts.js';
import type { ContractOptions } from '../../runner.js';

/** What the guest that the suite boots can do. What is missing gates tests off, visibly. */
export interface GuestAbilities {
  /** A channel of `spec.channels` on which the guest sends back what it gets. */
  readonly echoesOnChannel?: string;
  /** It powers off when it is asked to. */
  readonly answersPowerButton?: boolean;
  /** Its kernel gives NICs back when it is asked. Matters where detachNeedsGuest is `helps`. */
  readonly unplugsNics?: boolean;
  /** Resolves when it can do all this: awaited before each of the tests that need it. */
  ready?(vm: HypervisorVm, options: CallOptions): Promise<void>;
  /** Takes the link of a NIC down, where detachNeedsGuest is `link-down`. */
  linkDown?(vm: HypervisorVm, nic: VmNic): Promise<void>;
  /** And up. */
  linkUp?(vm: HypervisorVm, nic: VmNic): Promise<void>;
  /** MACs of the NICs the guest sees now. */
  macs?(vm: HypervisorVm): Promise<readonly string[]>;
  /** From now on it keeps NICs though it is asked for them; the returned function makes it let go. */
  keepNics?(vm: HypervisorVm): Promise<() => Promise<void>>;
  /** Makes it power off, or its kernel panic, by itself. */
  powerOff?(vm: HypervisorVm): Promise<void>;
  panic?(vm: HypervisorVm): Promise<void>;
}

/** Some other process, which the driver must leave alone. */
export interface Bystander {
  readonly identity: ProcessIdentity;
  alive(): boolean;
  end(): Promise<void> | void;
}

export interface HypervisorHost {
  /**
   * What the host still has of this VM, in words, beyond what the suite itself looks for (files below the run directory,
   * unix sockets, processes whose command line holds the id, descriptors of this process).
   */
  leftovers?(id: string): Promise<readonly string[]> | readonly string[];
  /** After a test that failed: ends what is left of this VM. The suite empties the run directory itself. */
  reap?(id: string): Promise<void> | void;
  /** Default: a `sleep` of its own. For a driver whose processes are not the operating system's. */
  bystander?(): Promise<Bystander> | Bystander;
  /** kill(2). Default: process.kill. */
  signal?(pid: number, signal: NodeJS.Signals): void;
}

/** Each makes the next call fail on its way, after it has made something. */
export interface HypervisorInjection {
  launch?(driver: HypervisorDriver, spec: VmSpec): Promise<void> | void;
  attach?(driver: HypervisorDriver, vm: HypervisorVm): Promise<void> | void;
  detach?(driver: HypervisorDriver, vm: HypervisorVm): Promise<void> | void;
  save?(driver: HypervisorDriver, vm: HypervisorVm): Promise<void> | void;
}

export interface HypervisorContract
  extends Pick<ContractOptions<HypervisorDriver>, 'runner' | 'label' | 'create' | 'dispose'> {
  /** The plugin's declaration. The driver's own must be equal; what is not declared is shown as skipped, and must be refused. */
  readonly capabilities: HypervisorCapabilities;
  /** The part of VmSpec that is about driver and guest. The suite gives each VM its id, directories, NICs and slots. */
  readonly spec: Pick<VmSpec, 'cpus' | 'memoryMib' | 'kernelPath' | 'initramfsPath' | 'kernelArgs' | 'channels'>;
  readonly guest?: GuestAbilities;
  /**
   * An endpoint for a NIC, of a kind the driver declares; `release` is called when the test is over. Default: a `builtin`
   * one, for drivers that declare that kind. `vm`: the one launched or adopted last, where there is one.
   */
  endpoint?(nicId: string, vm: HypervisorVm | undefined): Promise<EndpointLease> | EndpointLease;
  readonly host?: HypervisorHost;
  readonly inject?: HypervisorInjection;
  /** False: the driver does not read the kernel's file, so that one that is missing is no error. Default true. */
  readonly readsKernel?: boolean;
  /** Where run directories are made. Default: the system's directory for temporary files. */
  readonly directory?: string;
  readonly timeouts?: Partial<ContractTimeouts>;
}

export interface EndpointLease {
  readonly endpoint: NicEndpoint;
  release?(): Promise<void> | void;
}
