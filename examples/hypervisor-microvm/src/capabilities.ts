import { deepFreeze, type HypervisorCapabilities } from 'hyperplug';

/** NICs are there from the boot on or not at all: this machine type has no hot-plug. */
export const capabilities: HypervisorCapabilities = deepFreeze({
  builtinNetwork: true,
  nicEndpoints: ['builtin', 'stream', 'tap-name'],
  coldplugNic: true,
  hotplugNic: false,
  liveForwards: false,
  maxNics: 8,
  detachNeedsGuest: 'none',
  linkUp: 'attach',
  pause: true,
  gracefulShutdown: true,
  snapshot: false,
  hotplugCpu: false,
  hotplugMemory: false,
  adopt: true,
  netns: false,
  channels: { creditWindowBytes: null, reopen: true },
  maxCpus: 32,
  maxMemoryMib: 65_536,
});
