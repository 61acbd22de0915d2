import { fieldError, HyperplugError } from '../../core/errors.js';
import type { HypervisorCapabilities, VmNic, VmSpec } from '../../core/hypervisor.js';

/**
 * What every driver asks of a specification before anything is made.
 * @param checkNic throws for what the driver cannot attach. @throws VM_SPEC_INVALID, NOT_SUPPORTED.
 */
export function checkVmSpec(spec: VmSpec, limits: HypervisorCapabilities, checkNic: (nic: VmNic) => void): void {
  const bounded = (field: string, value: number, min: number, max: number) => {
    if (!Number.isSafeInteger(value) || value < min || value > max) {
      throw fieldError('VM_SPEC_INVALID', field, `an integer from ${min} to ${max}`, value);
    }
  };
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(spec.id)) {
    throw fieldError('VM_SPEC_INVALID', 'id', 'a name of a-z, 0-9 and -, at most 63 long', spec.id);
  }
  bounded('cpus', spec.cpus, 1, limits.maxCpus);
  bounded('memoryMib', spec.memoryMib, 32, limits.maxMemoryMib);
  bounded('hotplugNicSlots', spec.hotplugNicSlots, 0, limits.maxNics);
  bounded('nics + hotplugNicSlots', spec.nics.length + spec.hotplugNicSlots, 0, limits.maxNics);
  bounded('channels', spec.channels.length, 0, 16);
  if (spec.netnsPath !== undefined && !limits.netns) {
    throw new HyperplugError('NOT_SUPPORTED', 'netnsPath: the driver does not declare netns');
  }
  for (const argument of spec.kernelArgs) {
    if (/\s|[^\x20-\x7e]/.test(argument)) {
      throw fieldError('VM_SPEC_INVALID', 'kernelArgs', 'printable words without spaces', argument);
    }
  }
  const seen = new Set<string>();
  for (const nic of spec.nics) {
    const field = `nics.${nic.id}`;
    if (!/^[a-z0-9][a-z0-9-]{0,31}$/.test(nic.id)) {
      throw fieldError('VM_SPEC_INVALID', `${field}.id`, 'a name of a-z, 0-9 and -, at most 32 long', nic.id);
    }
    for (const key of [nic.id, nic.mac]) {
      if (seen.has(key)) throw fieldError('VM_SPEC_INVALID', field, 'an id and a MAC of its own', key);
      seen.add(key);
    }
    checkNic(nic);
  }
}
