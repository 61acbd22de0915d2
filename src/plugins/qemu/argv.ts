import type { VmNic } from '../../core/hypervisor.js';
import { type DeviceProperties, NIC_DEFAULTS, NIC_DRIVER, nicDevice, tapNetdev, userNetdev } from './devices.js';
import { keyval } from './keyval.js';
import {
  blockdev,
  type DiskPlan,
  diskDevice,
  type SharePlan,
  shareChardev,
  shareDevice,
  storageAddress,
} from './storage.js';

/** Everything QEMU's command line is made from. Paths are as QEMU shall open them. */
export interface MachinePlan {
  /** Shown by ps. */
  readonly name: string;
  readonly machine: 'q35' | 'pc';
  readonly accelerator: 'kvm' | 'tcg';
  readonly cpuModel: string;
  readonly cpus: number;
  readonly memoryMib: number;
  /** Its memory is the file at this path: a source's own, or a clone's to map privately; a clone waits for the state to go on from. */
  readonly template: { readonly memoryPath: string; readonly role: 'source' | 'clone' } | undefined;
  /** Firmware image, by path or by name in the firmware directories. undefined: QEMU's default. */
  readonly firmware: string | undefined;
  /** `-L` arguments of a QEMU that was unpacked. */
  readonly firmwareArgs: readonly string[];
  readonly kernelPath: string;
  /**
   * Of a clone whose guest has booted: the option ROM that QEMU adds for such a kernel, in its place. To load a kernel of some
   * 50 MiB for nobody would take QEMU a tenth of its start.
   */
  readonly bootRom?: string | undefined;
  readonly initramfsPath: string | undefined;
  readonly commandLine: string;
  /** An open descriptor that the console is appended to. */
  readonly consoleFd: number;
  readonly channels: readonly { readonly name: string; readonly socketPath: string }[];
  /** `connect`: QEMU connects to a socket that someone listens on, and ends when nobody does. `listen`: the other way. */
  readonly monitors: readonly { readonly path: string; readonly mode: 'connect' | 'listen' }[];
  /** Slot 0 to n - 1, in this order. The descriptors of a tap are those that QEMU inherits. */
  readonly nics: readonly VmNic[];
  /** NIC slots in all. */
  readonly slots: number;
  readonly entropyDevice: boolean;
  readonly disks: readonly (DiskPlan & { readonly fd: number })[];
  readonly shares: readonly SharePlan[];
  /** The guest runs at once; by default it waits for `cont`. */
  readonly runs?: boolean;
}

export const channelChardev = (index: number) => `channel${index}`;

/** On q35 each slot is a root port: hot-plug works on no other bus of it. On pc they are places of the one bus. */
export function slotBus(machine: 'q35' | 'pc', slot: number): DeviceProperties {
  return machine === 'q35'
    ? { bus: `slot${slot}` }
    : { bus: 'pci.0', addr: (PC_FIRST_NIC_ADDRESS + slot).toString(16) };
}

const PC_FIRST_NIC_ADDRESS = 0x05;

/** The program's arguments. The VM begins paused, for its events to be heard from the first, unless it `runs`; a clone's runs when its state is there. */
export function qemuArgs(plan: MachinePlan): string[] {
  const consoleSet = 1;
  return [
    ...['-name', keyval(`guest=${plan.name}`)],
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...(plan.template?.role === 'clone' ? ['-incoming', 'defer'] : plan.runs ? [] : ['-S']),
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...plan.firmwareArgs,
    ...memoryArgs(plan),
    // A model may carry options after commas, so it is not escaped.
    ...['-cpu', plan.cpuModel],
    ...['-smp', String(plan.cpus)],
    ...(plan.firmware === undefined ? [] : ['-bios', plan.firmware]),
    ...(plan.bootRom === undefined ? kernelArgs(plan) : ['-option-rom', plan.bootRom]),
    ...['-add-fd', keyval(`fd=${plan.consoleFd}`, { set: consoleSet })],
    ...['-chardev', keyval('file', { id: 'console', path: `/dev/fdset/${consoleSet}`, append: true })],
    ...['-serial', 'chardev:console'],
    ...plan.monitors.flatMap(monitorArgs),
    ...device({ driver: 'pvpanic' }),
    // The guest's kernel, if it has a driver, learns from it that it is a clone. The agent reseeds it in any case: where
    // all that runs has to be translated first, the AML that tells takes longer than that.
    ...(plan.template && plan.accelerator === 'kvm' ? device({ driver: 'vmgenid', guid: 'auto' }) : []),
    ...(plan.entropyDevice ? device({ driver: 'virtio-rng-pci' }) : []),
    ...channelArgs(plan.channels),
    ...plan.disks.flatMap((disk, index) => diskArgs(plan.machine, disk, index)),
    ...plan.shares.flatMap((share, index) => shareArgs(plan.machine, share, index, plan.disks.length + index)),
    ...(plan.machine === 'q35' ? rootPorts(plan.slots) : []),
    ...Object.entries(NIC_DEFAULTS).flatMap(([property, value]) => ['-global', nicDefault(property, value)]),
    ...plan.nics.flatMap((nic, slot) => nicArgs(plan.machine, nic, slot)),
  ];
}

function kernelArgs({ kernelPath, initramfsPath, commandLine }: MachinePlan): string[] {
  const initrd = initramfsPath === undefined ? [] : ['-initrd', initramfsPath];
  return ['-kernel', kernelPath, ...initrd, '-append', commandLine];
}

/** Devices that machines have by themselves and nobody uses: each is made, restored, and probed by the guest. */
const SPARE = { q35: { sata: false, smbus: false }, pc: {} } as const;

function memoryArgs(plan: MachinePlan): string[] {
  const { machine, accelerator: accel, memoryMib } = plan;
  const backend = memoryBackend(plan);
  return [
    ...['-machine', keyval(machine, { accel, ...SPARE[machine], ...(backend ? { 'memory-backend': 'memory' } : {}) })],
    ...['-m', `${memoryMib}M`],
    ...(backend ? ['-object', backend] : []),
  ];
}

function memoryBackend({ memoryMib, shares, template }: MachinePlan): string | undefined {
  const common = { id: 'memory', size: `${memoryMib}M` };
  if (template) {
    const { memoryPath, role } = template;
    return keyval('memory-backend-file', { ...common, 'mem-path': memoryPath, share: role === 'source' });
  }
  // With shares, virtiofsd sees the guest's memory (docs/system/devices/vhost-user.rst).
  return shares.length > 0 ? keyval('memory-backend-memfd', { ...common, share: true }) : undefined;
}

function diskArgs(machine: 'q35' | 'pc', disk: MachinePlan['disks'][number], index: number): string[] {
  return [
    ...['-add-fd', keyval(`fd=${disk.fd}`, { set: disk.fdSet })],
    ...['-blockdev', JSON.stringify(blockdev(disk, index))],
    ...device(diskDevice(disk.disk, index, storageAddress(machine, index))),
  ];
}

function shareArgs(machine: 'q35' | 'pc', share: SharePlan, index: number, place: number): string[] {
  return [
    ...['-chardev', keyval('socket', { id: shareChardev(index), path: share.socketPath })],
    ...device(shareDevice(share, index, storageAddress(machine, place))),
  ];
}

function device(properties: DeviceProperties): string[] {
  const { driver, ...rest } = properties;
  return ['-device', keyval(String(driver), rest)];
}

function monitorArgs({ path, mode }: MachinePlan['monitors'][number], index: number): string[] {
  const server = mode === 'listen' ? { server: true, wait: false } : {};
  const id = `monitor${index}`;
  return [
    ...['-chardev', keyval('socket', { id, path, ...server })],
    ...['-mon', keyval(`chardev=${id}`, { mode: 'control' })],
  ];
}

function channelArgs(channels: MachinePlan['channels']): string[] {
  if (channels.length === 0) return [];
  return [
    ...device({ driver: 'virtio-serial-pci', id: 'serial', max_ports: channels.length + 1 }),
    ...channels.flatMap(({ name, socketPath }, index) => [
      ...['-chardev', keyval('socket', { id: channelChardev(index), path: socketPath, server: true, wait: false })],
      // Port 0 is for consoles.
      ...device({ driver: 'virtserialport', bus: 'serial.0', nr: index + 1, chardev: channelChardev(index), name }),
    ]),
  ];
}

function rootPorts(count: number): string[] {
  return Array.from({ length: count }, (_, slot) =>
    device({ driver: 'pcie-root-port', id: `slot${slot}`, bus: 'pcie.0', chassis: slot + 1, slot: slot + 1 }),
  ).flat();
}

const nicDefault = (property: string, value: DeviceProperties[string]) =>
  keyval(`driver=${NIC_DRIVER}`, { property, value });

function nicArgs(machine: 'q35' | 'pc', nic: VmNic, slot: number): string[] {
  return [...['-netdev', netdev(nic, slot)], ...device(nicDevice(nic, slot, slotBus(machine, slot), true))];
}

function netdev({ endpoint }: VmNic, slot: number): string {
  if (endpoint.kind === 'tap-fd') {
    const { type, ...rest } = tapNetdev(slot, endpoint.fds.map(String));
    return keyval(String(type), rest);
  }
  if (endpoint.kind !== 'builtin') throw new TypeError(`endpoint ${endpoint.kind} was not refused before`);
  const { properties, forwards } = userNetdev(endpoint, slot);
  const { type, ...rest } = properties;
  return keyval(String(type), { ...rest, hostfwd: forwards });
}
