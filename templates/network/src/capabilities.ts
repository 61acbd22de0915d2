import { deepFreeze, type NetworkCapabilities } from 'hyperplug';

/** What is declared must work and is tested; what is not must be refused with NOT_SUPPORTED, and that is tested, too. */
export const capabilities: NetworkCapabilities = deepFreeze({
  endpoints: ['tap-name'],
  hypervisorNetwork: false,
  needsRoot: true,
  multipleNetworks: true,
  families: [4],
  staticAddress: false,
  podToPod: true,
  isolation: false,
  publish: [],
  livePublish: false,
  mtu: { min: 576, max: 9000 },
});
