import { BuiltinNetBackend } from '../../src/plugins/builtin-net/backend.js';
import { builtinNetCapabilities } from '../../src/plugins/builtin-net/capabilities.js';
import { networkContract } from '../../src/testing/index.js';

const network = { mtu: null, isolated: false, dns: [] };

networkContract({
  runner: { describe, it, before, after, beforeEach, afterEach },
  label: 'builtin-net',
  capabilities: builtinNetCapabilities,
  create: () => new BuiltinNetBackend(),
  networks: [
    { ...network, name: 'contract', subnets: ['10.213.1.0/24', 'fd00:213:1::/64'] },
    { ...network, name: 'contract-2', subnets: ['10.213.2.0/24'] },
  ],
});
