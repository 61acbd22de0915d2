import { expect } from 'chai';
import { Container } from 'inversify';
import type { GuestAgent } from '../../../../src/core/agent.js';
import { TOKENS } from '../../../../src/core/plugin.js';
import plugin from '../../../../src/plugins/hyperstart/index.js';

describe('hyperstart plugin', () => {
  it('is an agent whose defaults need no options', () => {
    expect(plugin).to.include({ name: 'hyperstart', kind: 'agent', apiVersion: 1 });
    expect(plugin.options.parse({})).to.deep.equal({ nicTimeoutMs: 10_000 });
    expect(plugin.options.safeParse({ nicTimeout: 1 }).success).to.equal(false);
    expect(plugin.capabilities.channels).to.deep.equal(['sh.hyper.channel.0', 'sh.hyper.channel.1']);
  });

  it('binds one agent, of the capabilities that it declares', async () => {
    const container = new Container();
    plugin.register({ bind: container.bind.bind(container) } as never, plugin.options.parse({}));
    const agent = await container.getAsync<GuestAgent>(TOKENS.agent);
    expect(await container.getAsync<GuestAgent>(TOKENS.agent)).to.equal(agent);
    expect(agent.capabilities).to.deep.equal(plugin.capabilities);
  });
});
