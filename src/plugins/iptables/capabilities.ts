import type { FirewallCapabilities } from '../../core/firewall.js';
import { deepFreeze } from '../../core/json.js';

export const iptablesCapabilities: FirewallCapabilities = deepFreeze({
  families: [4, 6],
  protocols: ['tcp', 'udp', 'sctp'],
  enforces: true,
  isolation: true,
  localhost: true,
  hairpin: true,
  needsRoot: true,
  restricts: true,
  publishToAny: true,
});
