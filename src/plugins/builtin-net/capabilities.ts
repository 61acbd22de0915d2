import { deepFreeze } from '../../core/json.js';
import type { NetworkCapabilities } from '../../core/network.js';

export const BACKEND_NAME = 'builtin-net';

/** libslirp sends segments of at most this; a guest whose frames are larger loses them. */
export const MTU = { min: 68, max: 1500 };

export const builtinNetCapabilities: NetworkCapabilities = deepFreeze({
  endpoints: ['builtin'],
  hypervisorNetwork: true,
  needsRoot: false,
  multipleNetworks: true,
  families: [4, 6],
  staticAddress: true,
  podToPod: false,
  isolation: true,
  publish: ['tcp', 'udp'],
  livePublish: true,
  mtu: MTU,
});
