import { deepFreeze } from '../../core/json.js';
import type { NetworkCapabilities } from '../../core/network.js';

export const netlinkCapabilities: NetworkCapabilities = deepFreeze({
  endpoints: ['tap-fd', 'interface'],
  hypervisorNetwork: false,
  needsRoot: true,
  multipleNetworks: true,
  families: [4, 6],
  staticAddress: true,
  podToPod: true,
  isolation: true,
  publish: ['tcp', 'udp', 'sctp'],
  livePublish: true,
  mtu: { min: 68, max: 65_521 },
  tapByName: true,
  restricts: true,
  publishToAny: true,
});
