import { expect } from 'chai';
import { z } from 'zod';
import { definePlugin } from '../../../../src/core/define-plugin.js';
import { PLUGIN_KINDS, type PluginRegistration } from '../../../../src/core/plugin.js';
import { checkPlugin } from '../../../../src/core/registry/check-plugin.js';
import { CAPABILITIES, fakePlugin } from '../../../support/fake-plugins.js';
import { throws } from '../../../support/rejects.js';

const good = () => fakePlugin('state');
const changed = (fields: Record<string, unknown>) => ({ ...good(), ...fields });

describe('definePlugin', () => {
  it('gives a frozen plugin, its capabilities frozen too', () => {
    const capabilities = { durable: true, multiProcess: false };
    const plugin = definePlugin({
      name: 'a',
      kind: 'state',
      apiVersion: 1,
      capabilities,
      options: z.strictObject({ size: z.int().default(3) }),
      register(_: PluginRegistration, options) {
        expect(options.size.toFixed(0)).to.be.a('string'); // compiles: the options are typed by the schema
      },
    });
    expect(plugin).to.be.frozen;
    expect(plugin.capabilities).to.be.frozen.and.deep.equal(capabilities);
    capabilities.durable = false;
    expect(plugin.capabilities.durable).to.equal(true);
  });

  it('lets a plugin of every kind pass, with no options and no description', () => {
    for (const kind of PLUGIN_KINDS) {
      const plugin = checkPlugin(fakePlugin(kind), 'x');
      expect(plugin.options.safeParse({}).success).to.equal(true);
      expect(plugin.options.safeParse({ a: 1 }).success).to.equal(false);
      expect(plugin.description).to.equal('');
    }
  });

  it('returns a plugin that passed before as it is', () => {
    const plugin = checkPlugin(good(), 'x');
    expect(checkPlugin(plugin, 'y')).to.equal(plugin);
  });

  it('calls register() with its own this', () => {
    const seen: unknown[] = [];
    const value = changed({
      register(this: unknown) {
        seen.push(this);
      },
    });
    checkPlugin(value, 'x').register({} as PluginRegistration, {});
    expect(seen).to.deep.equal([value]);
  });
});

describe('a plugin that is wrong is refused by name, source, field, expectation and value', () => {
  const wrong: readonly [string, unknown, Parameters<typeof throws>[1], ...string[]][] = [
    ['no object', 'text', 'PLUGIN_INVALID', 'plugin: expected an object, got "text" (string)'],
    ['null', null, 'PLUGIN_INVALID', 'got null'],
    ['a list', [], 'PLUGIN_INVALID', 'expected an object'],
    [
      'name missing',
      changed({ name: undefined }),
      'PLUGIN_INVALID',
      'without a name',
      'name: expected a name of a-z',
      'undefined',
    ],
    [
      'name malformed',
      changed({ name: 'Bad_Name' }),
      'PLUGIN_INVALID',
      'name: expected a name of a-z',
      '"Bad_Name" (string)',
    ],
    ['name reserved', changed({ name: 'networks' }), 'PLUGIN_INVALID', 'other than driver, backend, networks'],
    ['kind unknown', changed({ kind: 'hyprvisor' }), 'PLUGIN_INVALID', 'kind: expected', 'did you mean "hypervisor"?'],
    ['apiVersion other', changed({ apiVersion: 2 }), 'PLUGIN_API_VERSION', 'apiVersion: expected 1, got 2 (number)'],
    [
      'apiVersion missing',
      changed({ apiVersion: undefined }),
      'PLUGIN_INVALID',
      'apiVersion: expected 1, got undefined',
    ],
    ['apiVersion text', changed({ apiVersion: '1' }), 'PLUGIN_INVALID', 'apiVersion: expected 1, got "1" (string)'],
    ['capabilities missing', changed({ capabilities: undefined }), 'PLUGIN_INVALID', 'capabilities: expected object'],
    [
      'a capability missing',
      changed({ capabilities: { durable: true } }),
      'PLUGIN_INVALID',
      'capabilities.multiProcess: expected boolean, got undefined',
    ],
    [
      'a capability of another type',
      changed({ capabilities: { durable: 'yes', multiProcess: true } }),
      'PLUGIN_INVALID',
      'capabilities.durable: expected boolean, got "yes" (string)',
    ],
    [
      'a capability unknown',
      changed({ capabilities: { ...CAPABILITIES.state, multiproces: true } }),
      'PLUGIN_INVALID',
      'capabilities.multiproces: expected a capability of kind state',
      'did you mean "multiProcess"?',
    ],
    [
      "another kind's endpoints",
      { ...fakePlugin('network'), capabilities: { ...CAPABILITIES.network, endpoints: ['tap'] } },
      'PLUGIN_INVALID',
      'capabilities.endpoints[0]: expected one of "tap-fd"',
      'got "tap" (string)',
    ],
    [
      'options no schema',
      changed({ options: { a: 1 } }),
      'PLUGIN_INVALID',
      'options: expected a zod schema',
      '{"a":1}',
    ],
    [
      'options loose',
      changed({ options: z.object({}) }),
      'PLUGIN_INVALID',
      'options: expected a strict schema, got one that accepts unknown keys',
    ],
    [
      'options no object',
      changed({ options: z.string() }),
      'PLUGIN_INVALID',
      'options: expected a schema of an object',
    ],
    [
      'options asynchronous',
      changed({ options: z.strictObject({}).refine(async () => true) }),
      'PLUGIN_INVALID',
      'options: expected a synchronous schema',
    ],
    [
      'register missing',
      changed({ register: undefined }),
      'PLUGIN_INVALID',
      'register: expected a function, got undefined',
    ],
    ['description', changed({ description: 7 }), 'PLUGIN_INVALID', 'description: expected text, got 7 (number)'],
    [
      'an unknown field',
      changed({ capabilites: {} }),
      'PLUGIN_INVALID',
      'capabilites: expected',
      'mean "capabilities"?',
    ],
  ];
  for (const [title, value, code, ...parts] of wrong) {
    it(title, () => {
      const error = throws(() => checkPlugin(value, '/etc/local.js'), code, 'plugin ', '(/etc/local.js)', ...parts);
      expect(error.details).to.include.keys('plugin', 'source', 'field', 'expected', 'received');
    });
  }

  it('tells every field that is wrong at once', () => {
    const error = throws(
      () => checkPlugin(changed({ name: 'A', register: 1 }), 'x'),
      'PLUGIN_INVALID',
      'name:',
      'register:',
    );
    expect(error.details.fields).to.deep.equal(['name', 'register']);
  });
});

describe('options schemas of other makes', () => {
  /** A Standard Schema without zod: takes { port } and nothing else. */
  const standard = {
    '~standard': {
      version: 1,
      vendor: 'handmade',
      validate(value: unknown) {
        if (typeof value !== 'object' || value === null || Array.isArray(value))
          return { issues: [{ message: 'an object' }] };
        const { port = 80, ...rest } = value as { port?: unknown };
        if (Object.keys(rest).length > 0) return { issues: [{ message: 'no other keys', path: Object.keys(rest) }] };
        if (typeof port !== 'number') return { issues: [{ message: 'a port number', path: [{ key: 'port' }] }] };
        return { value: { port } };
      },
    },
  };

  it('takes a Standard Schema: its output and its issues', () => {
    const { options } = checkPlugin(changed({ options: standard }), 'x');
    expect(options.parse({})).to.deep.equal({ port: 80 });
    const { error } = options.safeParse({ port: 'x' });
    expect(error?.issues[0]).to.deep.include({ path: ['port'], message: 'a port number' });
  });

  it('refuses one that validates asynchronously', () => {
    const later = { '~standard': { ...standard['~standard'], validate: async () => ({ value: {} }) } };
    throws(
      () => checkPlugin(changed({ options: later }), 'x'),
      'PLUGIN_INVALID',
      'options: expected a synchronous schema',
    );
  });

  it('describes it for editors where it can describe itself', () => {
    const described = {
      '~standard': {
        ...standard['~standard'],
        jsonSchema: { input: () => ({ $schema: 'x', type: 'object', properties: { port: { type: 'number' } } }) },
      },
    };
    const schema = z.toJSONSchema(checkPlugin(changed({ options: described }), 'x').options, { io: 'input' });
    expect(schema).to.deep.include({ type: 'object', properties: { port: { type: 'number' } } });
  });
});
