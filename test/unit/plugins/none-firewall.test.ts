import { expect } from 'chai';
import type { Firewall } from '../../../src/core/firewall.js';
import { PluginHost } from '../../../src/core/registry/plugin-host.js';
import { PluginRegistry } from '../../../src/core/registry/registry.js';
import none from '../../../src/plugins/none-firewall/index.js';
import { FAKE_CHOICE, fakePlugins } from '../../support/fake-plugins.js';
import { rejects } from '../../support/rejects.js';

describe('the firewall that is none', () => {
  let host: PluginHost;
  let firewall: Firewall;
  beforeEach(async () => {
    const plugins = [...fakePlugins(), none];
    host = new PluginHost(new PluginRegistry(plugins).select({ ...FAKE_CHOICE, firewall: { name: 'none' } }));
    firewall = (await host.start()).firewall;
  });
  afterEach(() => host.stop());

  const network = { name: 'default', bridge: 'hyper0', subnets: ['10.0.0.0/24'], isolated: false };
  const mapping = { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 80, guestPort: 80, count: 1 } as const;
  const port = { id: 'p/n/tcp/0.0.0.0/80', network: 'default', mapping, guestAddress: '10.0.0.2' };

  it('accepts every call, and does not pretend that anything came of it', async () => {
    const options = { signal: new AbortController().signal };
    expect(firewall.capabilities.enforces).to.equal(false);
    await firewall.ensureNetwork(network, options);
    await firewall.publish([port], options);
    expect(await firewall.published(options)).to.deep.equal([]);
    expect(await firewall.check(options)).to.deep.equal([]);
    await firewall.repair(options);
    await firewall.unpublish([port.id], options);
    await firewall.removeNetwork('default', options);
  });

  it('rejects calls of those who have gone', async () => {
    const options = { signal: AbortSignal.abort() };
    await rejects(firewall.ensureNetwork(network, options), 'ABORTED');
    await rejects(firewall.publish([port], options), 'ABORTED');
    await rejects(firewall.published(options), 'ABORTED');
  });
});
