import { deepFreeze, type NetworkCapabilities } from 'hyperplug';

/** Frames go from VM to VM and no further: there is nothing to publish ports on. */
export const capabilities: NetworkCapabilities = deepFreeze({
  endpoints: ['stream'],
  hypervisorNetwork: false,
  needsRoot: false,
  multipleNetworks: true,
  families: [4],
  staticAddress: true,
  podToPod: true,
  isolation: true,
  publish: [],
  livePublish: false,
  mtu: { min: 576, max: 9000 },
});
