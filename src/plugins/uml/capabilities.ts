import type { HypervisorCapabilities } from '../../core/hypervisor.js';
import { deepFreeze } from '../../core/json.js';

/** arch/um/drivers/ubd_kern.c: MAX_DEV. */
const MAX_DISKS = 16;

export const umlCapabilities: HypervisorCapabilities = deepFreeze({
  builtinNetwork: true,
  nicEndpoints: ['builtin', 'interface'],
  coldplugNic: false,
  hotplugNic: true,
  liveForwards: true,
  maxNics: 16,
  detachNeedsGuest: 'link-down',
  linkUp: 'guest-up',
  pause: true,
  gracefulShutdown: true,
  snapshot: false,
  hotplugCpu: false,
  hotplugMemory: false,
  adopt: true,
  netns: false,
  // A serial line of UML stalls for ever when about 4 KiB are unread; what a dead manager left counts, too.
  channels: { creditWindowBytes: 1900, reopen: true },
  maxCpus: 1,
  maxMemoryMib: 64 * 1024,
  disks: { formats: ['raw'], max: MAX_DISKS },
});
