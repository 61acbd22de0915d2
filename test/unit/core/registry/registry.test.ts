import { expect } from 'chai';
import { z } from 'zod';
import { PLUGIN_KINDS } from '../../../../src/core/plugin.js';
import { PluginRegistry } from '../../../../src/core/registry/registry.js';
import { FAKE_CHOICE, fakePlugin, fakePlugins } from '../../../support/fake-plugins.js';
import { throws } from '../../../support/rejects.js';

const withOptions = (options: z.ZodType) => ({ ...fakePlugin('state'), options });
const only = (plugin: unknown) =>
  new PluginRegistry([...fakePlugins().filter((each) => each.kind !== 'state'), plugin]);

describe('PluginRegistry', () => {
  it('lists plugins in kind order, then by name, with their sources', () => {
    const registry = new PluginRegistry(fakePlugins());
    registry.add({ ...fakePlugin('state'), name: 'aaa' }, '/x.js');
    expect(registry.list('state').map(({ plugin, source }) => [plugin.name, source])).to.deep.equal([
      ['aaa', '/x.js'],
      ['fake', 'built in'],
    ]);
    expect([...new Set(registry.list().map(({ plugin }) => plugin.kind))]).to.deep.equal([...PLUGIN_KINDS]);
  });

  it('lets plugins of different kinds share a name, and refuses two of one kind with where both came from', () => {
    const registry = new PluginRegistry(fakePlugins());
    const error = throws(
      () => registry.add(fakePlugin('state'), '/x.js'),
      'PLUGIN_NAME_TAKEN',
      'plugin fake (/x.js): name',
      'fake is built in',
    );
    expect(error.details).to.include({ plugin: 'fake', source: '/x.js', field: 'name', received: 'fake' });
    expect(registry.list('state')).to.have.length(1);
  });

  it('finds by kind and name, and says what there is otherwise', () => {
    const registry = new PluginRegistry(fakePlugins());
    expect(registry.get('agent', 'fake').plugin.kind).to.equal('agent');
    throws(
      () => registry.get('agent', 'fkae', 'agent.driver'),
      'PLUGIN_NOT_FOUND',
      'agent.driver',
      'known: fake',
      '"fkae"',
      'mean "fake"?',
    );
    registry.add({ ...fakePlugin('state'), name: 'lmdb' }, 'built in');
    throws(
      () => registry.get('agent', 'lmdb', 'agent.driver'),
      'PLUGIN_KIND',
      'kind agent',
      'lmdb (built in)',
      'of kind state',
    );
  });

  it('selects one of each kind, options complete and frozen', () => {
    const registry = only(
      withOptions(z.strictObject({ size: z.int().default(3), deep: z.strictObject({ a: z.int() }).optional() })),
    );
    const selected = registry.select({ ...FAKE_CHOICE, state: { name: 'fake', options: { deep: { a: 1 } } } });
    expect(selected).to.have.all.keys([...PLUGIN_KINDS]);
    expect(selected.state.options).to.deep.equal({ size: 3, deep: { a: 1 } });
    expect((selected.state.options as { deep: object }).deep).to.be.frozen;
    expect(selected.agent.options).to.deep.equal({});
  });

  const options = z.strictObject({
    size: z.int().default(3),
    token: z.string().min(8).optional().meta({ secret: true }),
  });
  const wrong: readonly [string, unknown, ...string[]][] = [
    ['an option that there is not', { sise: 1 }, 'options.sise', 'size, token', 'got "sise"', 'mean "size"?'],
    ['an option of another type', { size: 'x' }, 'options.size: expected number, got "x" (string)'],
    ['options that are no object', [], 'options: expected object, got a list of 0'],
    ['a secret that is too short', { token: 'abc' }, 'options.token: expected at least 8 characters, got ***'],
  ];
  for (const [title, given, ...parts] of wrong) {
    it(`refuses ${title}`, () => {
      const choice = { ...FAKE_CHOICE, state: { name: 'fake', options: given } };
      const select = () => only(withOptions(options)).select(choice);
      const error = throws(select, 'PLUGIN_OPTIONS_INVALID', 'plugin fake (built in): ', ...parts);
      expect(JSON.stringify([error.message, error.details])).not.to.include('abc');
    });
  }

  it('refuses options of a plugin that has none, and a missing one that is required', () => {
    const given = { ...FAKE_CHOICE, agent: { name: 'fake', options: { a: 1 } } };
    throws(
      () => new PluginRegistry(fakePlugins()).select(given),
      'PLUGIN_OPTIONS_INVALID',
      'options.a: expected no options',
    );
    const required = () => only(withOptions(z.strictObject({ url: z.string() }))).select(FAKE_CHOICE);
    throws(required, 'PLUGIN_OPTIONS_INVALID', 'options.url: expected string, got undefined');
  });
});
