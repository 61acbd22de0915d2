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

/** Of no use in a VM, and half of the time of a boot. A name that a kernel does not have is ignored. */
const INITCALL_BLACKLIST = ['raid6_select_algo', 'init_zswap', 'calibrate_xor_blocks'];

/**
 * linux.uml's arguments (Documentation/virt/uml/user_mode_linux_howto_v2.rst). Paths go by /proc/self/fd: the user it runs as
 * need not be able to reach them, and names of sockets stay short.
 */
export function umlArgs({ memoryMib, tuning, fds, disks, hostfs, kernelArgs }: UmlPlan): string[] {
  const inherited = (fd: number) => `/proc/self/fd/${fd}`;
  const sockets = inherited(fds.sockets);
  return [
    `mem=${memoryMib}M`,
    `initrd=${inherited(fds.initramfs)}`,
    ...['con=null', `con0=null,fd:${fds.console}`, 'ssl=null'],
    ...fds.channels.map(([toGuest, fromGuest], index) => `ssl${index}=fd:${toGuest},fd:${fromGuest}`),
    // A reboot would execute the program again, which then has other channels than ours.
    ...['noreboot', `umid=${UMID}`, `uml_dir=${sockets}`, `mconsole=notify:${sockets}/notify`],
    `hostfs=${hostfs}`,
    ...diskArgs(disks.map((disk) => ({ ...disk, path: inherited(disk.fd) }))),
    'hyper_use_serial',
    ...(tuning === 'fast' ? ['quiet', 'pty.legacy_count=0', `initcall_blacklist=${INITCALL_BLACKLIST.join(',')}`] : []),
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
