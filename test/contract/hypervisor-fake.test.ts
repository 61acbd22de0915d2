import { fakeHypervisorContract } from './fake-hypervisor.js';

const runner = { describe, it, before, after, beforeEach, afterEach };

fakeHypervisorContract({ runner });

fakeHypervisorContract({
  runner,
  label: 'fake that declares the least',
  capabilities: {
    builtinNetwork: false,
    nicEndpoints: ['tap-name'],
    coldplugNic: false,
    hotplugNic: false,
    liveForwards: false,
    pause: false,
    gracefulShutdown: false,
    snapshot: false,
    adopt: false,
    maxCpus: 1,
    disks: undefined,
    shares: { max: 1, writable: false },
  },
});

fakeHypervisorContract({
  runner,
  label: 'fake that needs the link down before a NIC goes',
  capabilities: { detachNeedsGuest: 'link-down', linkUp: 'guest-up' },
});
