import { spawnSync } from 'node:child_process';
import { cpSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { loadConfig } from '../../src/core/config/load-config.js';
import { SECTIONS } from '../../src/core/config/schema.js';
import { ERROR_CODES } from '../../src/core/error-codes.js';
import { PLUGIN_KINDS } from '../../src/core/plugin.js';
import { checkPlugin } from '../../src/core/registry/check-plugin.js';
import { PluginHost } from '../../src/core/registry/plugin-host.js';
import { PluginRegistry } from '../../src/core/registry/registry.js';
import { CAPABILITIES, fakePlugin, fakeService } from '../support/fake-plugins.js';
import { rejects } from '../support/rejects.js';
import { tempDirs } from '../support/temp-dir.js';

const builtins = () =>
  PLUGIN_KINDS.map((kind) => {
    const name = SECTIONS[kind].default;
    return { ...fakePlugin(kind, fakeService(kind, name)), name };
  });

/** What a third party writes that has nothing of ours: no import, no zod. */
const plain = (name: string, extra = '', service = '') => `
const capabilities = ${JSON.stringify(CAPABILITIES.agent)};
export default {
  name: '${name}', kind: 'agent', apiVersion: 1, capabilities, ${extra}
  register({ bind }, options) {
    bind(Symbol.for('hyperplug.agent')).toDynamicValue(() => ({
      name: '${name}', capabilities, options, connect: async () => {}, ${service}
    })).inSingletonScope();
  },
};
`;

describe('third-party plugins, in files outside this package', () => {
  const temp = tempDirs();

  function load(files: Readonly<Record<string, string>>, options: { signal?: AbortSignal } = {}) {
    const root = temp(files);
    const registry = new PluginRegistry(builtins());
    const places = { cwd: join(root, 'work'), home: join(root, 'home'), systemDirectory: join(root, 'etc'), env: {} };
    return { root, registry, loading: loadConfig({ registry, ...places, ...options }) };
  }
  const config = (plugins: string[], driver?: string) => JSON.stringify({ plugins, agent: driver ? { driver } : {} });

  it('a plain value in a file that a configuration names is found relative to that configuration, and used', async () => {
    const { root, loading } = load({
      'etc/hyperplug.json': config(['./plugins/mine.mjs'], 'mine'),
      'etc/plugins/mine.mjs': plain('mine'),
    });
    const loaded = await loading;
    const selected = loaded.select();
    expect(selected.agent.source).to.equal(`${root}/etc/plugins/mine.mjs, named in ${root}/etc/hyperplug.json:1`);
    const host = new PluginHost(selected);
    expect((await host.start()).agent).to.deep.include({ name: 'mine', options: {} });
    await host.stop();
  });

  it('a package is found from the configuration that names it upwards, by its exports; several plugins may be one module', async () => {
    const both = `${plain('one').replace('export default', 'const one =')}\nexport default [one, { ...one, name: 'two' }];`;
    const { root, loading } = load({
      'work/hyperplug.json': config(['@scope/agents/sub'], 'one'),
      'node_modules/@scope/agents/package.json': '{"exports": {"./sub": {"import": "./lib/sub.mjs"}}}',
      'node_modules/@scope/agents/lib/sub.mjs': both,
    });
    const { registry } = await loading;
    expect(registry.list('agent').map(({ plugin }) => plugin.name)).to.deep.equal(['hyperstart', 'one', 'two']);
    expect(registry.get('agent', 'one').source).to.equal(
      `package @scope/agents/sub, named in ${root}/work/hyperplug.json:1`,
    );
  });

  it('a CommonJS file and an absolute path do as well', async () => {
    const { root } = load({ 'a.cjs': plain('common').replace('export default', 'module.exports =') });
    const { registry, loading } = load({ 'work/hyperplug.json': config([join(root, 'a.cjs')], 'common') });
    await loading;
    expect(registry.get('agent', 'common').plugin.kind).to.equal('agent');
  });

  it('options by a schema of its own, without zod', async () => {
    const schema = `options: { '~standard': { version: 1, vendor: 'x', validate: (value) =>
      typeof value === 'object' && value && !Array.isArray(value) && Object.keys(value).every((key) => key === 'port')
        ? { value: { port: value.port ?? 80 } } : { issues: [{ message: 'only port', path: [] }] } } },`;
    const files = (options: object) => ({
      'work/hyperplug.json': JSON.stringify({ plugins: ['./a.mjs'], agent: { driver: 'mine', mine: options } }),
      'work/a.mjs': plain('mine', schema),
    });
    expect((await load(files({ port: 7 })).loading).select().agent.options).to.deep.equal({ port: 7 });
    await rejects(
      load(files({ prt: 7 })).loading,
      'PLUGIN_OPTIONS_INVALID',
      'agent.mine',
      'only port',
      'hyperplug.json:1',
    );
  });

  it('options by another copy of zod, marks and defaults included: its secrets are known, its paths made absolute', async () => {
    const source = `import { z } from 'zod';
      ${plain('mine', 'options: z.strictObject({ key: z.string().meta({ secret: true }), file: z.string().default("x").meta({ path: true }) }),')}`;
    const root = temp({ 'work/a.mjs': source });
    const registry = new PluginRegistry(builtins());
    const zod = dirname(fileURLToPath(import.meta.resolve('zod/package.json')));
    cpSync(zod, join(root, 'work/node_modules/zod'), {
      recursive: true,
      dereference: true,
      filter: (path) => !/\.(?:cjs|[cm]?ts)$|zod\/src\//.test(path),
    });
    const options = { key: 'hunter2hunter2', file: 'sub/f' };
    writeFileSync(
      join(root, 'work/hyperplug.json'),
      JSON.stringify({ plugins: ['./a.mjs'], agent: { driver: 'mine', mine: options } }),
    );
    const loaded = await loadConfig({ registry, cwd: join(root, 'work'), home: root, systemDirectory: root, env: {} });
    expect(loaded.secrets).to.deep.equal(['hunter2hunter2']);
    expect(loaded.select().agent.options).to.deep.equal({ ...options, file: join(root, 'work/sub/f') });
  }).timeout(60_000);

  it("import from 'hyperplug' gives this very installation, wherever the file lies, even beside another copy", async () => {
    const file = plain('mine', "description: pkg.name + '@' + pkg.version,");
    const { registry, loading } = load({
      'work/hyperplug.json': config(['./a.mjs']),
      'work/a.mjs': `import { createRequire } from 'node:module';
        import { readFileSync } from 'node:fs';
        const pkg = JSON.parse(readFileSync(new URL(import.meta.resolve('hyperplug/package.json'))));
        ${file}`,
      'work/node_modules/hyperplug/package.json': '{"name": "another", "version": "9.9.9"}',
    });
    await loading;
    expect(registry.get('agent', 'mine').plugin.description).to.match(/^hyperplug@\d/);
  });

  it("import { definePlugin } from 'hyperplug' works in a file outside the package, and gives the same errors and tokens", async () => {
    const { registry, loading } = load({
      'work/hyperplug.json': config(['./a.mjs'], 'mine'),
      'work/a.mjs': `import { definePlugin, ERROR_CODES, TOKENS } from 'hyperplug';
        const capabilities = ${JSON.stringify(CAPABILITIES.agent)};
        export default definePlugin({
          name: 'mine', kind: 'agent', apiVersion: 1, capabilities, description: String(Object.keys(ERROR_CODES).length),
          register({ bind }) {
            bind(TOKENS.agent).toDynamicValue(() => ({ name: 'mine', capabilities, connect: async () => {} })).inSingletonScope();
          },
        });`,
    });
    const host = new PluginHost((await loading).select());
    expect((await host.start()).agent.name).to.equal('mine');
    await host.stop();
    const { plugin } = registry.get('agent', 'mine');
    expect(plugin.description).to.equal(String(Object.keys(ERROR_CODES).length));
    expect(checkPlugin(plugin, 'again'), 'the very module that checked it').to.equal(plugin);
  });

  const wrong: readonly [string, Record<string, string>, Parameters<typeof rejects>[1], ...string[]][] = [
    [
      'a file that is not there',
      {},
      'PLUGIN_LOAD_FAILED',
      'plugin ./a.mjs',
      'file: expected a file that exists',
      '/work/a.mjs',
      'hyperplug.json:1',
    ],
    [
      'a file that is no JavaScript',
      { 'work/a.mjs': 'const = 3' },
      'PLUGIN_LOAD_FAILED',
      '/work/a.mjs, named in',
      'import failed',
    ],
    [
      'a file that throws',
      { 'work/a.mjs': "throw new Error('not today')" },
      'PLUGIN_LOAD_FAILED',
      'import failed: not today',
    ],
    ['a file that throws no error', { 'work/a.mjs': 'throw 7' }, 'PLUGIN_LOAD_FAILED', 'import failed: 7'],
    ['an import of nothing', { 'work/a.mjs': "import 'nothing-here'" }, 'PLUGIN_LOAD_FAILED', "'nothing-here'"],
    [
      'a file without a default export',
      { 'work/a.mjs': 'export const plugin = {}' },
      'PLUGIN_INVALID',
      'default export: expected a plugin',
    ],
    ['an empty list', { 'work/a.mjs': 'export default []' }, 'PLUGIN_INVALID', 'default export: expected a plugin'],
    [
      'another version of the interface',
      { 'work/a.mjs': plain('mine').replace('apiVersion: 1', 'apiVersion: 2') },
      'PLUGIN_API_VERSION',
      'agent plugin mine (',
      '/work/a.mjs',
      'expected 1, got 2',
    ],
    [
      'a capability missing',
      { 'work/a.mjs': plain('mine').replace('"files":true,', '') },
      'PLUGIN_INVALID',
      'capabilities.files: expected boolean',
    ],
    [
      'the name of a built-in plugin',
      { 'work/a.mjs': plain('hyperstart') },
      'PLUGIN_NAME_TAKEN',
      '/work/a.mjs',
      'hyperstart is built in',
    ],
  ];
  for (const [title, files, code, ...parts] of wrong) {
    it(`${title} is refused`, async () => {
      await rejects(load({ 'work/hyperplug.json': config(['./a.mjs']), ...files }).loading, code, ...parts);
    });
  }

  it('a package that is not there, or does not export what is named, is refused', async () => {
    await rejects(
      load({ 'work/hyperplug.json': config(['no-such-package']) }).loading,
      'PLUGIN_LOAD_FAILED',
      'package no-such-package',
    );
    const files = {
      'work/hyperplug.json': config(['pkg/x']),
      'work/node_modules/pkg/package.json': '{"exports": "./a.mjs"}',
    };
    await rejects(load(files).loading, 'PLUGIN_LOAD_FAILED', 'package pkg/x');
  });

  it('one whose import never ends is given up when the caller goes', async () => {
    const files = {
      'work/hyperplug.json': config(['./a.mjs']),
      'work/a.mjs': 'await new Promise((r) => setTimeout(r, 5000).unref())',
    };
    await rejects(load(files, { signal: AbortSignal.timeout(500) }).loading, 'TIMEOUT', 'plugin ./a.mjs');
  }).timeout(20_000);

  it('one that ends the process while it is imported is named, and that is a failure', () => {
    const root = temp({
      'hyperplug.json': config(['./plugins/exit.mjs']),
      'plugins/exit.mjs': 'process.exit(0);',
    });
    const program = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
    const argv = [program, '--config', join(root, 'hyperplug.json'), 'config', 'show'];
    const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8', timeout: 20_000 });
    expect(status).to.equal(1);
    expect(stderr).to.match(/plugin \.\/plugins\/exit\.mjs .*ended this process \(exit code 0\)/);
  });

  it('a service that lacks its contract is refused by name and file when it is started', async () => {
    const { loading } = load({
      'work/hyperplug.json': config(['./a.mjs'], 'mine'),
      'work/a.mjs': plain('mine', '', 'connect: undefined'),
    });
    const host = new PluginHost((await loading).select());
    await rejects(
      host.start(),
      'PLUGIN_INVALID',
      'agent plugin mine (',
      '/work/a.mjs',
      'service.connect: expected a function',
    );
  });

  it('a link to a file is followed as Node follows it', async () => {
    const { root } = load({ 'real/a.mjs': plain('linked') });
    const { root: other } = load({ 'work/hyperplug.json': config(['./link.mjs'], 'linked') });
    symlinkSync(join(root, 'real/a.mjs'), join(other, 'work/link.mjs'));
    const registry = new PluginRegistry(builtins());
    await loadConfig({ registry, cwd: join(other, 'work'), home: other, systemDirectory: other, env: {} });
    expect(registry.list('agent')).to.have.length(2);
  });
});
