import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import { z } from 'zod';
import { configJsonSchema } from '../../../../src/core/config/json-schema.js';
import { loadConfig } from '../../../../src/core/config/load-config.js';
import { renderConfig } from '../../../../src/core/config/render-config.js';
import { SECTIONS } from '../../../../src/core/config/schema.js';
import { PLUGIN_KINDS } from '../../../../src/core/plugin.js';
import { PluginRegistry } from '../../../../src/core/registry/registry.js';
import { fakePlugin, fakeService } from '../../../support/fake-plugins.js';
import { tempDirs } from '../../../support/temp-dir.js';

const options = z.strictObject({
  token: z.string().optional().describe('of the service').meta({ secret: true }),
  users: z.array(z.strictObject({ name: z.string(), key: z.string().meta({ secret: true }) })).default([]),
  size: z.int().positive().default(3).describe('in MiB'),
  image: z.string().startsWith('/').meta({ path: true }).optional(),
});

const registry = () =>
  new PluginRegistry(
    PLUGIN_KINDS.map((kind) => {
      const name = SECTIONS[kind].default;
      return { ...fakePlugin(kind, fakeService(kind, name)), name, ...(kind === 'hypervisor' ? { options } : {}) };
    }),
  );

describe('renderConfig', () => {
  const temp = tempDirs();
  const load = (text: string) => {
    const root = temp({ 'hyperplug.yaml': text });
    return loadConfig({
      registry: registry(),
      cwd: root,
      home: join(root, 'h'),
      env: {},
      systemDirectory: join(root, 'e'),
    });
  };

  it('gives YAML that reads back as the same configuration', async () => {
    const loaded = await load(
      'guest: {kernelArgs: ["a: b # c", "true", " a", "1", "ü", "x-y", "- z"]}\nlog: {level: debug}',
    );
    const { text, value } = renderConfig(loaded, { origins: true });
    expect(parse(text)).to.deep.equal(value);
    expect(parse(renderConfig(loaded, { origins: false }).text)).to.deep.equal(
      JSON.parse(JSON.stringify(loaded.config)),
    );
    expect(renderConfig(loaded, { origins: false }).text).not.to.include('#  default');
  });

  it('tells file and line, default or command line of every value', async () => {
    const loaded = await load('log:\n  level: debug\nguest:\n  kernelArgs:\n    - quiet\n');
    const file = loaded.files[0];
    const { text, origins } = renderConfig(loaded, { origins: true });
    expect(origins).to.deep.include({
      'log.level': `${file}:2`,
      'log.format': 'default',
      'guest.kernelArgs[0]': `${file}:5`,
    });
    expect(text).to.match(new RegExp(`^ {2}level: debug +# ${file}:2$`, 'm'));
    expect(text).to.match(/^ {2}format: auto +# default$/m);
    // Every value has one: nothing is shown without its origin.
    for (const line of text.trimEnd().split('\n')) expect(line).to.match(/:$|^\s*-$| # /);
  });

  it('shows no secret, wherever it is asked', async () => {
    const loaded = await load('hypervisor: {qemu: {token: hunter2, users: [{name: a, key: s3cret}]}}');
    const all = JSON.stringify([renderConfig(loaded, { origins: true }), renderConfig(loaded, { origins: false })]);
    expect(all).not.to.include('hunter2').and.not.to.include('s3cret');
    expect(renderConfig(loaded, { origins: false }).text).to.include('token: "***"');
    expect(loaded.config.hypervisor.qemu, 'the plugin itself gets it').to.deep.include({ token: 'hunter2' });
  });
});

describe('configJsonSchema', () => {
  type Schema = { [key: string]: unknown; properties: Record<string, Schema> };
  const schema = configJsonSchema(registry()) as unknown as Schema;

  it('is a draft 2020-12 schema of the whole file, plugins included, that refuses unknown keys', () => {
    expect(schema.$schema).to.equal('https://json-schema.org/draft/2020-12/schema');
    const sections =
      'hypervisor agent network firewall addressPool state guest pods templates pool daemon rootless paths log plugins $schema'.split(
        ' ',
      );
    expect(schema.properties).to.have.all.keys(sections);
    const visit = (each: unknown): void => {
      if (typeof each !== 'object' || each === null) return;
      const { type, properties, additionalProperties } = each as Schema;
      const plugins = properties && ['driver', 'backend'].some((selector) => selector in properties);
      if (type === 'object' && properties && !plugins) expect(additionalProperties).to.equal(false);
      Object.values(each).forEach(visit);
    };
    visit(schema);
    expect(schema.required, 'everything has a default').to.equal(undefined);
  });

  it('has descriptions, defaults, limits and names to complete', () => {
    const { hypervisor, log } = schema.properties;
    expect(hypervisor?.properties.driver).to.deep.include({
      type: 'string',
      default: 'qemu',
      examples: ['auto', 'qemu'],
    });
    // A plugin that is named under `plugins` is none that this schema could know.
    expect(hypervisor?.properties.driver).not.to.have.property('enum');
    expect(hypervisor?.additionalProperties).to.deep.include({ type: 'object' });
    expect(hypervisor?.properties.qemu?.properties.size).to.deep.include({ default: 3, description: 'in MiB' });
    expect(log?.properties.level?.enum).to.include('debug');
  });

  it('says nothing that only zod knows', () => {
    const text = JSON.stringify(schema);
    expect(text).not.to.include('starts_with').and.not.to.include(String(Number.MAX_SAFE_INTEGER));
    const { image } = schema.properties.hypervisor!.properties.qemu!.properties;
    expect(image).to.deep.equal({ type: 'string', pattern: '^\\/.*' });
  });

  it('marks secrets in the schema’s own words only', () => {
    const { token } = schema.properties.hypervisor!.properties.qemu!.properties;
    expect(token).to.include({ writeOnly: true, description: 'of the service' }).and.not.to.have.property('secret');
  });

  it('describes every key of the configuration that is not an option of a plugin', () => {
    const undescribed: string[] = [];
    const visit = ({ properties = {} }: Schema, path: string): void => {
      for (const [key, member] of Object.entries(properties)) {
        const inner = member.properties ? member : ((member.additionalProperties || member) as Schema);
        if (inner.properties) visit(inner, `${path}${key}.`);
        else if (!member.description) undescribed.push(path + key);
      }
    };
    const { hypervisor: _, ...rest } = schema.properties;
    visit({ properties: rest }, '');
    expect(undescribed).to.deep.equal([]);
  });
});
