import { fakeFirewallContract } from './fake-firewall.js';

const runner = { describe, it, before, after, beforeEach, afterEach };

fakeFirewallContract({ runner });

fakeFirewallContract({
  runner,
  label: 'fake that declares the least',
  capabilities: { families: [6], protocols: ['udp'], isolation: false, localhost: false, hairpin: false },
});
