import { expect } from 'chai';
import type { CallOptions } from '../../../src/core/calls.js';
import { HyperplugError } from '../../../src/core/errors.js';
import type { HypervisorDriver } from '../../../src/core/hypervisor.js';
import type { NetworkBackend, NetworkSpec } from '../../../src/core/network.js';
import { initNetworks } from '../../../src/core/network-init.js';
import { CAPABILITIES } from '../../support/fake-plugins.js';
import { rejects } from '../../support/rejects.js';

const NETWORKS: NetworkSpec[] = [{ name: 'default', subnets: ['10.0.0.0/24'], mtu: null, isolated: false, dns: [] }];

interface Setup {
  readonly builtin: boolean;
  readonly hypervisorNetwork: boolean;
  readonly driverInit?: ((options: CallOptions) => Promise<void>) | null;
  readonly backendInit?: (options: CallOptions) => Promise<void>;
}

function recording({ builtin, hypervisorNetwork, driverInit, backendInit }: Setup) {
  const calls: unknown[] = [];
  const driver = {
    name: 'vmm',
    capabilities: { ...CAPABILITIES.hypervisor, builtinNetwork: builtin },
    initNetwork:
      driverInit === null
        ? undefined
        : async (options: CallOptions) => {
            calls.push('driver.initNetwork');
            await driverInit?.(options);
          },
  } as unknown as HypervisorDriver;
  const backend = {
    name: 'net',
    capabilities: { ...CAPABILITIES.network, hypervisorNetwork },
    init: async (networks: readonly NetworkSpec[], options: CallOptions) => {
      calls.push(['backend.init', networks]);
      await backendInit?.(options);
    },
  } as unknown as NetworkBackend;
  return { calls, driver, backend };
}

describe('initNetworks', () => {
  it("asks the driver where the network is the hypervisor's own, after the backend has seen the specifications", async () => {
    const { calls, driver, backend } = recording({ builtin: true, hypervisorNetwork: true });
    await initNetworks(driver, backend, NETWORKS);
    expect(calls).to.deep.equal([['backend.init', NETWORKS], 'driver.initNetwork']);
  });

  it('asks the backend alone where it makes the networks, also of a driver that could bring its own', async () => {
    for (const builtin of [true, false]) {
      const { calls, driver, backend } = recording({ builtin, hypervisorNetwork: false });
      await initNetworks(driver, backend, NETWORKS);
      expect(calls).to.deep.equal([['backend.init', NETWORKS]]);
    }
  });

  it('refuses a driver without a network of its own where the backend counts on it; nothing is called', async () => {
    for (const setup of [{ builtin: false }, { builtin: true, driverInit: null }]) {
      const { calls, driver, backend } = recording({ hypervisorNetwork: true, ...setup });
      await rejects(
        initNetworks(driver, backend, NETWORKS),
        'PLUGIN_CAPABILITY_MISSING',
        'plugin vmm',
        'builtinNetwork',
        'net',
      );
      expect(calls).to.deep.equal([]);
    }
  });

  it('does not ask the driver when the backend refuses the specifications', async () => {
    const refusal = new HyperplugError('NET_SPEC_INVALID', 'no');
    const { calls, driver, backend } = recording({
      builtin: true,
      hypervisorNetwork: true,
      backendInit: async () => Promise.reject(refusal),
    });
    expect(await rejects(initNetworks(driver, backend, NETWORKS), 'NET_SPEC_INVALID')).to.equal(refusal);
    expect(calls).to.have.length(1);
  });

  it('names who failed where a plugin throws something else', async () => {
    const { driver, backend } = recording({
      builtin: true,
      hypervisorNetwork: true,
      driverInit: async () => Promise.reject(new Error('no slirp')),
    });
    const error = await rejects(
      initNetworks(driver, backend, NETWORKS),
      'NET_INIT_FAILED',
      'hypervisor vmm',
      'no slirp',
    );
    expect(error.cause).to.be.an('error');
  });

  it('may be called twice', async () => {
    const { calls, driver, backend } = recording({ builtin: true, hypervisorNetwork: true });
    await initNetworks(driver, backend, NETWORKS);
    await initNetworks(driver, backend, NETWORKS);
    expect(calls).to.have.length(4);
  });

  it('does nothing for a caller that has gone, and names who hangs when the deadline passes', async () => {
    const gone = recording({ builtin: true, hypervisorNetwork: true });
    const signal = AbortSignal.abort(new HyperplugError('ABORTED', 'gone'));
    await rejects(initNetworks(gone.driver, gone.backend, NETWORKS, { signal }), 'ABORTED');
    expect(gone.calls).to.deep.equal([]);
    const hung = recording({ builtin: true, hypervisorNetwork: false, backendInit: () => new Promise<void>(() => {}) });
    await rejects(
      initNetworks(hung.driver, hung.backend, NETWORKS, { timeoutMs: 10 }),
      'TIMEOUT',
      'network net',
      '10 ms',
    );
  });
});
