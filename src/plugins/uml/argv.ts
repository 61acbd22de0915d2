import { diskArgs } from './storage.js';
import { UMID } from './uml-run-dir.js';

/** Everything UML's command line is made from. Descriptors are those that it inherits. */
export interface UmlPlan {
  readonly memoryMib: number;
  readonly tuning: 'fast' | 'none';
  readonly fds: {
    /** The directory of sockets. */
    readonly sockets: number;
    /** The console is appended to it. */
    readonly console: number;
    readonly initramfs: number;
    /** Of each serial line: to the guest, from the guest. */
    readonly channels: readonly (readonly [number, number])[];
  };
  readonly disks: readonly { readonly id: string; readonly readOnly: boolean; readonly fd: number }[];
  /** A directory that does not exist: a guest that mounts hostfs gets nothing, whatever it asks for. */
  readonly hostfs: string;
  readonly kernelArgs: readonly string[];
}

/**
 * Of no use in a VM, and much of the time of a boot. Each device, bus and driver that comes costs some milliseconds: the kernel
 * tries to start /sbin/hotplug for it, a process each. A name that a kernel does not have is ignored.
 */
const INITCALL_BLACKLIST = [
  ...['raid6_select_algo', 'init_zswap', 'calibrate_xor_blocks', 'harddog_miscdev_init', 'init_jfs_fs'],
  ...['atkbd_init', 'psmouse_init', 'hid_init', 'hid_generic_init', 'a4_driver_init', 'belkin_driver_init'],
  ...['ch_driver_init', 'cp_driver_init', 'ez_driver_init', 'ite_driver_init', 'ks_driver_init', 'ms_driver_init'],
  ...['mr_driver_init', 'redragon_driver_init'],
];

/** Who says how much of its log the kernel prints has it so. */
const LOG_LEVEL = /^(loglevel=.*|debug|quiet|ignore_loglevel)$/;

/**
 * Of the 16 consoles and 64 serial lines that it has UML makes those alone that are named: 76 devices less. It complains of each
 * of the others (KERN_ERR), so that such messages are printed only when it has booted (sysctl.*: just before init).
 */
function fastArgs(kernelArgs: readonly string[]): string[] {
  return [
    ...(kernelArgs.some((word) => LOG_LEVEL.test(word)) ? [] : ['loglevel=3', 'sysctl.kernel.printk=4']),
    ...['pty.legacy_count=0', 'cryptomgr.notests', `initcall_blacklist=${INITCALL_BLACKLIST.join(',')}`],
  ];
}

/**
 * linux.uml's arguments (Documentation/virt/uml/user_mode_linux_howto_v2.rst). Paths go by /proc/self/fd: the user it runs as
 * need not be able to reach them, and names of sockets stay short.
 */
export function umlArgs({ memoryMib, tuning, fds, disks, hostfs, kernelArgs }: UmlPlan): string[] {
  const inherited = (fd: number) => `/proc/self/fd/${fd}`;
  const sockets = inherited(fds.sockets);
  const others = tuning === 'fast' ? 'none' : 'null';
  return [
    `mem=${memoryMib}M`,
    `initrd=${inherited(fds.initramfs)}`,
    ...[`con=${others}`, `con0=null,fd:${fds.console}`, `ssl=${others}`],
    ...fds.channels.map(([toGuest, fromGuest], index) => `ssl${index}=fd:${toGuest},fd:${fromGuest}`),
    // A reboot would execute the program again, which then has other channels than ours.
    ...['noreboot', `umid=${UMID}`, `uml_dir=${sockets}`, `mconsole=notify:${sockets}/notify`],
    `hostfs=${hostfs}`,
    ...diskArgs(disks.map((disk) => ({ ...disk, path: inherited(disk.fd) }))),
    'hyper_use_serial',
    ...(tuning === 'fast' ? fastArgs(kernelArgs) : []),
    ...kernelArgs,
  ];
}

export interface NamespaceTools {
  readonly unshare: string;
  readonly setpriv: string;
  readonly timeout: string;
  readonly setsid: string;
}

/**
 * User, PID, network and IPC namespaces of the VM's own. The first process of the PID namespace is timeout(1) without a limit,
 * which waits for UML and tells its end; all that UML has started ends with it. UML cannot be the first itself: a kernel that
 * panics aborts, which the first process of a namespace does not do. Its session is its own, as it then signals its group.
 * It keeps one capability, for its own network namespace: the raw sockets of its NICs.
 */
export function namespaceArgs({ unshare, setpriv, timeout, setsid }: NamespaceTools): string[] {
  const caps = '-all,+net_raw';
  return [
    ...[unshare, '--user', '--map-root-user', '--net', '--ipc', '--pid', '--fork', '--kill-child=KILL', '--'],
    ...[setpriv, `--inh-caps=${caps}`, `--bounding-set=${caps}`, '--'],
    ...[timeout, '0', setsid],
  ];
}
