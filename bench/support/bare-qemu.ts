import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestImage } from '../../src/core/guest-image.js';
import { hostTscKhz, kernelCommandLine } from '../../src/plugins/qemu/kernel-command-line.js';

export const QEMU = 'qemu-system-x86_64';

/** The kernel arguments of ours. */
export function tunedKernelArgs(image: GuestImage): string {
  return kernelCommandLine({
    accelerator: 'tcg',
    machine: 'q35',
    tuning: 'fast',
    tscKhz: hostTscKhz(readFileSync('/proc/cpuinfo', 'utf8'), existsSync('/sys/devices/system/cpu/cpu0/cpufreq')),
    extra: image.kernelArgs,
  });
}

/** QEMU alone with the kernel, initramfs, machine and memory that ours has. */
export function bareQemu(image: GuestImage, append: string, devices: readonly string[], memoryMib = 256): string[] {
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-machine', 'q35,accel=tcg'],
    ...['-cpu', 'max', '-smp', '1', '-m', `${memoryMib}M`, '-kernel', image.kernelPath, '-initrd', image.initramfsPath],
    ...['-append', append, ...devices],
  ];
}

/** The agent's two ports; the control channel is a socket that QEMU connects to. */
export function agentPorts(controlPath: string): string[] {
  const ports = ['sh.hyper.channel.0', 'sh.hyper.channel.1'].flatMap((name, index) => [
    ...['-chardev', index === 0 ? `socket,id=c${index},path=${controlPath}` : `null,id=c${index}`],
    ...['-device', `virtserialport,bus=s.0,nr=${index + 1},chardev=c${index},name=${name}`],
  ]);
  return ['-serial', 'null', '-device', 'virtio-serial-pci,id=s,max_ports=3', ...ports];
}

export const readySocket = (directory: string) => join(directory, 'ready.sock');
