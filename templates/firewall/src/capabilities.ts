import { deepFreeze, type FirewallCapabilities } from 'hyperplug';

/** What is declared must work and is tested; what is not must be refused with NOT_SUPPORTED, and that is tested, too. */
export const capabilities: FirewallCapabilities = deepFreeze({
  families: [4],
  protocols: ['tcp', 'udp'],
  enforces: true,
  isolation: false,
  localhost: false,
  hairpin: false,
  needsRoot: true,
});
