import { closeSync, openSync, readSync, statSync } from 'node:fs';
import type { VmNic, VmSpec } from '../../core/hypervisor.js';
import { qemuFirmwareArgs } from '../../host/debian/firmware.js';
import type { Tool } from '../../host/tools.js';
import type { MachinePlan } from './argv.js';
import { readHostTscKhz } from './host-facts.js';
import { kernelCommandLine } from './kernel-command-line.js';
import type { Acceleration } from './kvm/device.js';
import type { QemuOptions } from './options.js';
import type { QemuRunDir } from './qemu-run-dir.js';

/** What a VM's arguments follow from. */
export interface PlanRequest {
  readonly spec: VmSpec;
  readonly options: QemuOptions;
  readonly tools: { readonly qemu: Tool };
  readonly acceleration: Acceleration;
}

/**
 * Descriptors that QEMU inherits: 3, 4, … in this order. Taps are followed by disks; a template and its clones have neither, and
 * in place of them their memory, and what a clone goes on from.
 */
export const FD = { sockets: 3, console: 4, kernel: 5, initramfs: 6, taps: 7, memory: 7, state: 8 } as const;
/** The console's is 1. */
const FIRST_DISK_FD_SET = 2;
const inherited = (fd: number) => `/proc/self/fd/${fd}`;

export function machinePlan({ spec, options, acceleration, tools }: PlanRequest, runDir: QemuRunDir): MachinePlan {
  const { machine, kernelTuning: tuning, firmware } = options;
  const { accelerator, cpuModel } = acceleration;
  const socketPath = (path: string) => inherited(FD.sockets) + path.slice(runDir.sockets.length);
  const tscKhz = accelerator === 'tcg' ? readHostTscKhz() : undefined;
  const taps = spec.nics.flatMap(({ endpoint }) => (endpoint.kind === 'tap-fd' ? endpoint.fds : []));
  return {
    name: runDir.marker(spec.id),
    machine,
    accelerator,
    cpuModel,
    cpus: spec.cpus,
    memoryMib: spec.memoryMib,
    template: spec.template && { memoryPath: inherited(FD.memory), role: spec.template.role },
    firmware: firmware === 'qboot' ? 'qboot.rom' : undefined,
    firmwareArgs: qemuFirmwareArgs(tools.qemu),
    kernelPath: inherited(FD.kernel),
    bootRom: spec.template?.role === 'clone' && spec.template.booted ? bootRom(spec.kernelPath) : undefined,
    initramfsPath: inherited(FD.initramfs),
    commandLine: kernelCommandLine({ accelerator, machine, tuning, tscKhz, extra: spec.kernelArgs }),
    consoleFd: FD.console,
    channels: spec.channels.map((name, index) => ({ name, socketPath: socketPath(runDir.channelSocket(index)) })),
    monitors: [
      { path: socketPath(runDir.launchSocket), mode: 'connect' },
      ...(spec.detached ? [{ path: socketPath(runDir.qmpSocket), mode: 'listen' as const }] : []),
    ],
    nics: withInheritedTaps(spec.nics),
    slots: spec.nics.length + spec.hotplugNicSlots,
    entropyDevice: options.entropyDevice,
    disks: spec.disks.map((disk, index) => ({
      disk,
      fd: FD.taps + taps.length + index,
      fdSet: FIRST_DISK_FD_SET + index,
      blockDevice: statSync(disk.path).isBlockDevice(),
    })),
    shares: spec.shares.map((share, index) => ({ share, socketPath: socketPath(runDir.shareSocket(index)) })),
  };
}

/** hw/i386/x86.c, x86_load_linux(): an ELF kernel is entered by PVH. undefined: a bzImage, whose ROM varies. */
function bootRom(kernelPath: string): string | undefined {
  const magic = Buffer.alloc(4);
  const fd = openSync(kernelPath, 'r');
  try {
    readSync(fd, magic, 0, magic.length, 0);
  } finally {
    closeSync(fd);
  }
  return magic.toString('latin1') === '\x7fELF' ? 'pvh.bin' : undefined;
}

/** Taps by the descriptors as QEMU shall have them. */
function withInheritedTaps(nics: readonly VmNic[]): readonly VmNic[] {
  let next: number = FD.taps;
  return nics.map((nic) => {
    if (nic.endpoint.kind !== 'tap-fd') return nic;
    return { ...nic, endpoint: { ...nic.endpoint, fds: nic.endpoint.fds.map(() => next++) } };
  });
}
