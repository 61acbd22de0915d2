import { type ContractRunner, hypervisorContract } from 'hyperplug/testing';
import { capabilities } from '../src/capabilities.js';
import { __CLASS__Driver } from '../src/driver.js';

export function contractTests(runner: ContractRunner): void {
  hypervisorContract({
    runner,
    label: '__NAME__',
    capabilities,
    create: () => new __CLASS__Driver(),
    // To do: a guest that your hypervisor boots, as small as can be.
    spec: {
      cpus: 1,
      memoryMib: 64,
      kernelPath: '/path/to/kernel',
      initramfsPath: '/path/to/initramfs',
      kernelArgs: [],
      channels: ['control'],
    },
    // More tests run with more hooks: guest (what it can do: echoesOnChannel, powerOff, panic, macs, keepNics), endpoint
    // (a NIC endpoint of a kind that is declared), inject (makes launch, attach, detach fail on their way), host.
  });
}
