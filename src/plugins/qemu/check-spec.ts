import type { HypervisorCapabilities, VmSpec } from '../../core/hypervisor.js';
import { checkVmSpec } from '../../host/vmm/check-spec.js';
import { checkEndpoint } from './devices.js';

/** @throws VM_SPEC_INVALID, NOT_SUPPORTED: what QEMU cannot run, before anything is made. */
export function checkSpec(spec: VmSpec, limits: HypervisorCapabilities): void {
  checkVmSpec(spec, limits, checkEndpoint);
}
