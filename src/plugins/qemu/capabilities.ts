import type { HypervisorCapabilities } from '../../core/hypervisor.js';
import { deepFreeze } from '../../core/json.js';

const MAX_DISKS = 16;
const MAX_SHARES = 8;

export const qemuCapabilities: HypervisorCapabilities = deepFreeze({
  builtinNetwork: true,
  nicEndpoints: ['builtin', 'tap-fd'],
  coldplugNic: true,
  hotplugNic: true,
  liveForwards: true,
  maxNics: 24,
  detachNeedsGuest: 'helps',
  linkUp: 'attach',
  pause: true,
  gracefulShutdown: true,
  snapshot: true,
  hotplugCpu: false,
  hotplugMemory: false,
  adopt: true,
  netns: false,
  channels: { creditWindowBytes: null, reopen: true },
  maxCpus: 64,
  maxMemoryMib: 1024 * 1024,
  disks: { formats: ['raw', 'qcow2'], max: MAX_DISKS },
  shares: { max: MAX_SHARES, writable: true },
});
