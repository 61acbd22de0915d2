import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Container, ContainerModule } from 'inversify';
import { type AnyPlugin, HOST_TOKENS, TOKENS } from '../../../../src/core/plugin.js';
import { localAddressPool, localState } from '../../../../src/plugins/local/index.js';
import { callOptions } from '../../../../src/testing/runner.js';

describe('the plugins of this machine', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hyperplug-local-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  /** Both registered, as the registry does it. */
  const containerWith = (options: unknown) => {
    const container = new Container();
    const load = (plugin: AnyPlugin, given: unknown) =>
      container.load(new ContainerModule((module) => plugin.register(module, plugin.options.parse(given) as never)));
    load(localState as AnyPlugin, options);
    load(localAddressPool as AnyPlugin, {});
    return container;
  };

  it('keep records in the state directory of the composition root, or where the options say', async () => {
    for (const [options, directory] of [
      [{}, join(dir, 'root')],
      [{ directory: join(dir, 'chosen') }, join(dir, 'chosen')],
    ] as const) {
      const container = containerWith(options);
      container
        .bind(HOST_TOKENS.paths)
        .toConstantValue({ cacheDir: '/nowhere', runtimeDir: '/nowhere', stateDir: join(dir, 'root') });
      const state = await container.getAsync(TOKENS.state);
      expect(existsSync(directory), 'nothing is made before it is used').to.equal(false);
      await state.transaction((transaction) => transaction.put(['a'], 1), callOptions());
      expect(existsSync(join(directory, 'state.mdb'))).to.equal(true);
      await state.stop?.(callOptions());
    }
  });

  it('are singletons whose capabilities are those they declare', async () => {
    const container = containerWith({ directory: dir });
    for (const [token, plugin] of [
      [TOKENS.state, localState],
      [TOKENS['address-pool'], localAddressPool],
    ] as const) {
      const service = await container.getAsync<{ capabilities: unknown }>(token);
      expect(await container.getAsync<object>(token)).to.equal(service);
      expect(service.capabilities).to.deep.equal(plugin.capabilities);
    }
  });

  it('refuse options that they do not have', () => {
    expect(localState.options.safeParse({ directory: 'relative' }).success).to.equal(false);
    expect(localState.options.safeParse({ folder: '/x' }).success).to.equal(false);
  });
});
