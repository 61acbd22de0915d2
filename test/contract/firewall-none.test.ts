import plugin, { NoFirewall } from '../../src/plugins/none-firewall/index.js';
import { firewallContract } from '../../src/testing/index.js';

firewallContract({
  runner: { describe, it, before, after, beforeEach, afterEach },
  label: 'none',
  capabilities: plugin.capabilities,
  create: () => new NoFirewall(),
  rules: () => [],
});
