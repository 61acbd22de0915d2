import { fakeNetworkContract } from './fake-network.js';

const runner = { describe, it, before, after, beforeEach, afterEach };

fakeNetworkContract({ runner });

fakeNetworkContract({
  runner,
  label: "fake of a hypervisor's own network, that declares the least",
  capabilities: {
    endpoints: ['builtin'],
    hypervisorNetwork: true,
    multipleNetworks: false,
    families: [4],
    staticAddress: false,
    podToPod: false,
    isolation: false,
    publish: [],
  },
});
