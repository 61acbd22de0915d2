import type { Duplex } from 'node:stream';
import type { CallOptions } from './calls.js';
import type { Diagnosis } from './diagnosis.js';
import type { JsonValue } from './json.js';

/** The ways in which a NIC's frames can leave a VM. A driver declares which it takes, a network backend which it makes. */
export type NicEndpointKind = NicEndpoint['kind'];

export type NicEndpoint =
  /**
   * Open tap descriptors, one per queue. Borrowed for the length of the call: the driver passes them on (SCM_RIGHTS,
   * inheritance) or duplicates them, and never closes them.
   */
  | { readonly kind: 'tap-fd'; readonly fds: readonly number[]; readonly vnetHdr: boolean }
  /** A tap the hypervisor opens by name in the VM's network namespace. */
  | { readonly kind: 'tap-name'; readonly name: string }
  /**
   * An interface in the VM's own network namespace (HypervisorVm.netnsPath), put there by the backend and up: the hypervisor
   * exchanges its frames raw (packet(7)). It goes with the namespace, so that nothing is left when the VM dies.
   */
  | { readonly kind: 'interface'; readonly name: string }
  /** A unix SOCK_SEQPACKET listener, one frame a packet (User Mode Linux's bess transport). */
  | { readonly kind: 'seqpacket'; readonly path: string }
  /** A unix SOCK_STREAM listener, u32 big-endian length before each frame (QEMU's stream netdev, passt). */
  | { readonly kind: 'stream'; readonly path: string }
  /** The hypervisor's own network (QEMU user mode): no host device exists. */
  | BuiltinEndpoint;

export interface BuiltinEndpoint {
  readonly kind: 'builtin';
  /** `10.0.2.0/24`; undefined: the family is off. */
  readonly ipv4?: BuiltinFamily;
  readonly ipv6?: BuiltinFamily;
  readonly forwards: readonly PortForward[];
  /** The guest reaches neither the host nor the world; forwards still work. */
  readonly restricted: boolean;
}

export interface BuiltinFamily {
  /** Canonical CIDR. */
  readonly subnet: string;
  /** The host as the guest sees it, and its gateway. */
  readonly gateway: string;
  /** Name server that the hypervisor provides. */
  readonly dns: string;
  /** The guest's address. */
  readonly guest: string;
}

export interface PortForward {
  readonly protocol: 'tcp' | 'udp';
  /** `0.0.0.0` or `::` for all. */
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly guestAddress: string;
  readonly guestPort: number;
}

/** Frozen data, known before anything runs. What is not declared throws NOT_SUPPORTED; the contract suite tests both ways. */
export interface HypervisorCapabilities {
  /** Brings its own network: then `initNetwork` exists and NICs may have the `builtin` endpoint. */
  readonly builtinNetwork: boolean;
  readonly nicEndpoints: readonly NicEndpointKind[];
  /** NICs given in VmSpec.nics are there at boot. */
  readonly coldplugNic: boolean;
  /** attachNic and detachNic work on a running VM. */
  readonly hotplugNic: boolean;
  /** Whether forwards of a builtin NIC can change while the VM runs. */
  readonly liveForwards: boolean;
  /** NICs a VM can have at once, cold and hot. */
  readonly maxNics: number;
  /**
   * What detachNic needs of the guest: `none`; `helps` (asks the guest's kernel, which must run); `link-down` (the guest
   * must have taken the link down before, core does it through the agent).
   */
  readonly detachNeedsGuest: 'none' | 'helps' | 'link-down';
  /**
   * When the backend sees a link: `attach` (attached and link-up are one) or `guest-up` (only once the guest opened the
   * NIC, so a wrong endpoint shows only then).
   */
  readonly linkUp: 'attach' | 'guest-up';
  readonly pause: boolean;
  readonly gracefulShutdown: boolean;
  /** VmSpec.template, templateKey() and saveTemplate(): a VM saved once is gone on from many times. */
  readonly snapshot: boolean;
  /** CPUs and memory can be added to a running VM. */
  readonly hotplugCpu: boolean;
  readonly hotplugMemory: boolean;
  /** A VM launched with `detached` outlives its manager, and `adopt` finds it again. */
  readonly adopt: boolean;
  /** The VM's host side can run in a network namespace given by path. */
  readonly netns: boolean;
  readonly channels: {
    /** Bytes that may be unread by the guest before the channel stalls for ever; null: sound flow control of its own. */
    readonly creditWindowBytes: number | null;
    /** A channel can be closed and opened again while the VM runs. */
    readonly reopen: boolean;
  };
  /** Upper bounds the driver can run. */
  readonly maxCpus: number;
  readonly maxMemoryMib: number;
  /** Absent: VmSpec.disks must be empty. */
  readonly disks?: DiskCapabilities;
  /** Absent: VmSpec.shares must be empty. */
  readonly shares?: ShareCapabilities;
}

export interface DiskCapabilities {
  readonly formats: readonly DiskFormat[];
  /** Disks a VM can have. */
  readonly max: number;
}

export interface ShareCapabilities {
  /** Directories a VM can have. */
  readonly max: number;
  /** False: shares must be `readOnly`. */
  readonly writable: boolean;
}

export type DiskFormat = 'raw' | 'qcow2';

/**
 * A disk that is there at boot. The guest knows it by its serial: /sys/block/NAME/serial. A driver whose devices have none
 * says the name in the kernel's command line, once for each disk: `hyper_disk=SERIAL:NAME` (`hyper_disk=root0:ubda`).
 */
export interface VmDisk {
  /** Ours, unique in the VM: `[a-z0-9][a-z0-9-]{0,19}`. It is the serial, too (virtio-blk takes 20 bytes). */
  readonly id: string;
  /** Absolute path of a regular file or block device. */
  readonly path: string;
  readonly format: DiskFormat;
  /**
   * True: the hypervisor never writes to it, and several VMs may have it at once. False: it is this VM's alone while it runs;
   * a driver that can lock the file does.
   */
  readonly readOnly: boolean;
}

/**
 * A directory of the host that the guest can mount: as virtiofs with `tag` for source. A driver that shares by other means
 * says so in the kernel's command line, once for each share: `hyper_share=TAG:FSTYPE:SOURCE:OPTIONS`, as mount(2) takes them
 * (`hyper_share=work:hostfs:none:/srv/work`); the last part may be empty and may hold colons.
 */
export interface VmShare {
  /** Ours, unique in the VM: `[a-z0-9][a-z0-9-]{0,30}`. */
  readonly tag: string;
  /** Absolute path of a directory; what is mounted or linked to outside of it is not shared. */
  readonly path: string;
  /** True: whatever the guest does, nothing below the directory changes. */
  readonly readOnly: boolean;
}

/** Complete and frozen: core has validated it and filled every default. */
export interface VmSpec {
  /** `[a-z0-9][a-z0-9-]{0,62}`, unique per runtime directory. */
  readonly id: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** The same without modules of the kernel at `kernelPath`, for a driver that boots another; absent: there is none. */
  readonly bareInitramfsPath?: string;
  /**
   * A program of the host (launcher/) that confines what it becomes in one step; a driver may do without. Absent, or not to be run
   * where it lies: there is none.
   */
  readonly launcherPath?: string;
  /** Appended to the driver's own kernel command line. */
  readonly kernelArgs: readonly string[];
  /** Byte-stream channels to the guest, by name (virtio-serial port names, or serial lines in this order). */
  readonly channels: readonly string[];
  /** NICs that are there at boot. */
  readonly nics: readonly VmNic[];
  /** Slots to keep free for NICs added later. */
  readonly hotplugNicSlots: number;
  readonly disks: readonly VmDisk[];
  readonly shares: readonly VmShare[];
  /** True: the guest will lay file systems over others (overlayfs), for a driver whose kernel may be without; absent: it need not. */
  readonly overlays?: boolean;
  /** True: the guest may be given IPv6 addresses, for a driver whose kernel may be without; absent: it will not. */
  readonly ipv6?: boolean;
  /** A directory of mode 0700 that core made for this VM alone: sockets, pid files. The driver removes what it put there. */
  readonly runDir: string;
  /** The guest's console is appended to this file. It outlives the VM. */
  readonly consoleLogPath: string;
  /** Path of a network namespace the VM's host side runs in. */
  readonly netnsPath?: string;
  /** False: the VM dies with this process, whatever kills it. True: it outlives it. */
  readonly detached: boolean;
  /** Only with `snapshot`: its part in a template. */
  readonly template?: TemplateUse;
}

export type TemplateUse =
  /**
   * It boots in order to be saved: saveTemplate() can be called, once. `directory` is core's, empty, and this VM's alone; unless
   * all was saved it is empty again when the VM has ended, however it did. No NICs, disks or shares.
   */
  | { readonly role: 'source'; readonly directory: string }
  /**
   * It does not boot but goes on where the saved VM stopped, with the memory of that one shared copy-on-write: several
   * clones at once read `directory`, and none can change what is in it. `cpus`, `memoryMib`, `channels`, `hotplugNicSlots`, kernel
   * and initramfs are those of the saved VM, or launch() rejects with TEMPLATE_STALE. NICs are added when it runs.
   * `booted`: the saved guest was past its boot, and has no use for its kernel's file any more.
   */
  | {
      readonly role: 'clone';
      readonly directory: string;
      readonly saved: SavedTemplate;
      readonly booted?: boolean;
    };

/** All that a clone needs to know, beside the files in the template's directory. JSON. */
export interface SavedTemplate {
  readonly version: 1;
  readonly driver: string;
  /** HypervisorDriver.templateKey() when it was saved. */
  readonly key: string;
  /** The driver's own. */
  readonly data: JsonValue;
}

export interface VmNic {
  /** Ours, stable, unrelated to any device name: `[a-z0-9][a-z0-9-]{0,31}`. */
  readonly id: string;
  /** `52:54:00:12:34:56`, lower case. */
  readonly mac: string;
  readonly mtu: number;
  readonly queues: number;
  readonly endpoint: NicEndpoint;
}

export interface AttachedNic {
  readonly id: string;
  readonly mac: string;
  /** The slot taken, 0-based; free again after detachNic. */
  readonly slot: number;
}

export interface DetachOptions extends CallOptions {
  /**
   * Called, at most once, when the guest has let go of the device and the hypervisor has still to put its own side away:
   * what is to be asked of the guest can be asked then. A driver to which both are one need not call it.
   */
  readonly onUnplugged?: () => void;
}

export type VmState = 'running' | 'paused' | 'exited';

export interface VmExit {
  /**
   * `shutdown`: the guest powered off or asked for a reset; `panicked`: its kernel did; `killed`: kill() or a signal from
   * outside; `crashed`: the hypervisor failed; `unknown`: adopted and found gone.
   */
  readonly reason: 'shutdown' | 'panicked' | 'killed' | 'crashed' | 'unknown';
  /** Of the hypervisor process, where it is our child. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** The end of what the hypervisor wrote to stderr, at most 4 KiB. */
  readonly stderrTail: string;
}

export type VmEvent =
  | { readonly type: 'paused' }
  | { readonly type: 'resumed' }
  /** The guest gave a NIC back, asked or not. */
  | { readonly type: 'nic-detached'; readonly nicId: string }
  | { readonly type: 'panicked' }
  | { readonly type: 'exited'; readonly exit: VmExit };

/** A process of a hypervisor, by the marks on it and no record. */
export interface VmTrace {
  readonly process: ProcessIdentity;
  /** VmSpec.runDir, as it was launched. */
  readonly runDir: string;
}

/** A process, told apart from a later one of the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, clock ticks after boot. */
  readonly startTime: number;
  /** /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
}

/** All that another manager needs to adopt or destroy the VM. JSON. */
export interface VmRecord {
  readonly version: 1;
  readonly driver: string;
  readonly id: string;
  readonly process: ProcessIdentity;
  readonly runDir: string;
  /** The driver's own. */
  readonly data: JsonValue;
}

/** What a hypervisor plugin implements. Users call `Vm`, which has validated and filled defaults. */
export interface HypervisorDriver {
  readonly name: string;
  readonly capabilities: HypervisorCapabilities;
  start?(options: CallOptions): Promise<void>;
  stop?(options: CallOptions): Promise<void>;
  /**
   * Only with `builtinNetwork`. Proves that the hypervisor's own network can run here. Idempotent.
   * @throws NET_INIT_FAILED with the reason.
   */
  initNetwork?(options: CallOptions): Promise<void>;
  /**
   * Resolves once vCPUs run (the guest's readiness is the agent's to tell). On rejection no process, socket or file remains.
   * @throws VM_ALREADY_EXISTS `id` runs in this runDir; that VM is untouched.
   * @throws VM_SPEC_INVALID a value the driver cannot run (a disk or share that is not there, for one); NOT_SUPPORTED an
   * endpoint or feature it does not declare.
   * @throws NET_PORT_IN_USE a forward's host port is taken.
   * @throws TEMPLATE_STALE the template was saved by another hypervisor, kernel or machine, or its files are not whole.
   * @throws VM_HYPERVISOR_FAILED the hypervisor exited early, with its stderr; ABORTED, TIMEOUT.
   */
  launch(spec: VmSpec, options: CallOptions): Promise<HypervisorVm>;
  /**
   * Takes over a VM that another process launched with `detached`.
   * @throws VM_ADOPT_FAILED it is gone, or the pid belongs to another process; nothing was touched.
   */
  adopt(record: VmRecord, options: CallOptions): Promise<HypervisorVm>;
  /**
   * Ends the recorded VM and removes its files. Idempotent: one already gone resolves. Never signals a recycled pid. It is
   * called, with reap(), also where another hypervisor is configured by now.
   */
  destroy(record: VmRecord, options: CallOptions): Promise<void>;
  /**
   * For a launch whose manager died before it had the record: ends the VM that it left in this directory, if any, and
   * removes its files. Idempotent. Where it is missing no launch can leave one.
   */
  reap?(runDir: string, options: CallOptions): Promise<void>;
  /** Every VM process of this driver on the machine, whoever launched it; changes nothing. Missing: it cannot be told. */
  traces?(options: CallOptions): Promise<readonly VmTrace[]>;
  diagnose?(options: CallOptions): Promise<readonly Diagnosis[]>;
  /**
   * Only with `snapshot`. A digest of all that a clone has in common with the VM that was saved: the hypervisor's program and
   * version, machine type, accelerator, CPU model, devices, kernel arguments, and the content of kernel and initramfs. Where
   * it differs from a template's, that template is made anew. Quick: files are not read again that did not change.
   */
  templateKey?(spec: VmSpec, options: CallOptions): Promise<string>;
}

/**
 * One VM. After its exit every method but kill() and record() rejects with VM_NOT_RUNNING, every waiting one with
 * VM_EXITED at once. Calls on different NICs may run at the same time.
 */
export interface HypervisorVm {
  readonly id: string;
  readonly state: VmState;
  /** Resolves once, never rejects. */
  readonly exited: Promise<VmExit>;
  /** The network namespace that the driver made for this VM alone (`/proc/PID/ns/net`), where it takes `interface` endpoints. */
  readonly netnsPath?: string;
  /** Calls `listener` for each event from now on; the returned function stops that. Listeners must not throw. */
  onEvent(listener: (event: VmEvent) => void): () => void;
  /** Opens one of VmSpec.channels. One opener at a time; it is closed by destroy(). @throws POD_BUSY it is held elsewhere. */
  openChannel(name: string, options: CallOptions): Promise<Duplex>;
  /** @throws VM_NIC_EXISTS, VM_NO_SLOT, NOT_SUPPORTED, NET_PORT_IN_USE. On rejection nothing remains and a retry works. */
  attachNic(nic: VmNic, options: CallOptions): Promise<AttachedNic>;
  /**
   * Resolves when the hypervisor says that the device is gone, not when it took the request; only then is the slot free.
   * @throws VM_NIC_NOT_FOUND. On rejection the NIC still is attached and its slot taken.
   */
  detachNic(nicId: string, options: DetachOptions): Promise<void>;
  /**
   * Only with `liveForwards`. Resolves when the port is listened on; with linkUp `guest-up` that waits for the guest's link,
   * and core asks so for the forwards that attachNic() was given, too.
   * @throws NET_PORT_IN_USE, VM_NIC_NOT_FOUND.
   */
  addForward(nicId: string, forward: PortForward, options: CallOptions): Promise<void>;
  removeForward(nicId: string, forward: PortForward, options: CallOptions): Promise<void>;
  /** The NICs attached now. */
  nics(): readonly AttachedNic[];
  /** Idempotent. */
  pause(options: CallOptions): Promise<void>;
  resume(options: CallOptions): Promise<void>;
  /** Asks the guest to power off (ACPI or like) and resolves when the VM has exited. */
  shutdown(options: CallOptions): Promise<VmExit>;
  /** Ends the VM at once; resolves when the process is gone and its files are removed. Idempotent. */
  kill(options: CallOptions): Promise<VmExit>;
  /**
   * Only of a VM that was launched as the source of a template. Writes its memory and the state of its devices into the template's
   * directory and ends it; files are synced and whole when this resolves. On rejection the directory is empty again, and the VM has ended.
   */
  saveTemplate?(options: CallOptions): Promise<SavedTemplate>;
  /** Lets go of a detached VM without ending it: sockets closed, nothing else. Later calls reject with VM_NOT_RUNNING. */
  release(): Promise<void>;
  record(): VmRecord;
}
