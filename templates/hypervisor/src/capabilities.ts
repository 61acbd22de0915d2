import { deepFreeze, type HypervisorCapabilities } from 'hyperplug';

/** What is declared must work and is tested; what is not must be refused with NOT_SUPPORTED, and that is tested, too. */
export const capabilities: HypervisorCapabilities = deepFreeze({
  builtinNetwork: false,
  nicEndpoints: [],
  coldplugNic: false,
  hotplugNic: false,
  liveForwards: false,
  maxNics: 0,
  detachNeedsGuest: 'none',
  linkUp: 'attach',
  pause: false,
  gracefulShutdown: false,
  snapshot: false,
  hotplugCpu: false,
  hotplugMemory: false,
  adopt: false,
  netns: false,
  channels: { creditWindowBytes: null, reopen: false },
  maxCpus: 1,
  maxMemoryMib: 65_536,
});
