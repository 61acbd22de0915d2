import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { builtinPlugins } from '../../../src/builtin-plugins.js';
import { PLUGIN_KINDS } from '../../../src/core/plugin.js';
import { createPlugin } from '../../../src/kit/create-plugin.js';
import { packageFiles } from '../../../src/kit/package-files.js';
import { cli } from '../../support/cli/fake-io.js';
import { rejects } from '../../support/rejects.js';
import { tempDirs } from '../../support/temp-dir.js';

const plugin = { kind: 'state', name: 'tiny', testRunner: 'node', taken: builtinPlugins } as const;

describe('createPlugin', () => {
  const temp = tempDirs();

  it('makes the folder and tells its files', async () => {
    const directory = join(temp({}), 'deep', 'tiny');
    const made = await createPlugin({ ...plugin, directory });
    expect(made.directory).to.equal(directory);
    const there = readdirSync(directory, { recursive: true, withFileTypes: true });
    expect(there.filter((entry) => entry.isFile()).length).to.equal(made.files.length);
    expect(made.files).to.include.members(['package.json', 'src/index.ts', 'test/contract.ts', 'docs/tiny.md']);
  });

  it('takes an empty folder that is there', async () => {
    const directory = temp({});
    await createPlugin({ ...plugin, directory });
    expect(readdirSync(directory)).to.include('package.json');
  });

  it('overwrites nothing: a folder that holds anything is refused and left as it is', async () => {
    const directory = temp({ 'notes.txt': 'mine' });
    const error = await rejects(createPlugin({ ...plugin, directory }), 'PLUGIN_FOLDER_TAKEN');
    expect(error.message).to.include('notes.txt').and.to.include(directory);
    expect(readdirSync(directory)).to.deep.equal(['notes.txt']);
    await rejects(createPlugin({ ...plugin, directory: join(directory, 'notes.txt') }), 'PLUGIN_FOLDER_TAKEN');
    expect(readFileSync(join(directory, 'notes.txt'), 'utf8')).to.equal('mine');
  });

  it('leaves nothing where it cannot write', async () => {
    const root = temp({});
    writeFileSync(join(root, 'file'), '');
    await rejects(createPlugin({ ...plugin, directory: join(root, 'file', 'tiny') }), 'PLUGIN_FOLDER_TAKEN');
    if (process.getuid?.() === 0) return;
    mkdirSync(join(root, 'closed'));
    chmodSync(join(root, 'closed'), 0o500);
    await rejects(createPlugin({ ...plugin, directory: join(root, 'closed', 'tiny') }), 'HOST_IO');
    expect(readdirSync(join(root, 'closed'))).to.deep.equal([]);
  });

  for (const name of ['', 'Tiny', '1st', 'a b', '../up', 'x'.repeat(33), 'driver', 'networks', 'a_b']) {
    it(`refuses the name ${JSON.stringify(name)} with field, expectation and value, and makes nothing`, async () => {
      const directory = join(temp({}), 'made');
      const error = await rejects(createPlugin({ ...plugin, name, directory }), 'PLUGIN_INVALID');
      expect(error.details).to.include({ field: 'name', received: name });
      expect(error.message).to.include(JSON.stringify(name));
      expect(readdirSync(join(directory, '..'))).to.deep.equal([]);
    });
  }

  it('refuses the name that a built-in plugin of its kind has, and makes nothing', async () => {
    for (const { kind, name } of builtinPlugins) {
      const directory = join(temp({}), 'made');
      const error = await rejects(createPlugin({ ...plugin, kind, name, directory }), 'PLUGIN_NAME_TAKEN');
      expect(error.details).to.include({ field: 'name', received: name });
      expect(error.message).to.include(`no other ${kind} plugin has`);
      expect(readdirSync(join(directory, '..'))).to.deep.equal([]);
    }
  });

  it('takes the name of a built-in plugin of another kind, which it does not meet', async () => {
    const directory = join(temp({}), 'made');
    await createPlugin({ ...plugin, kind: 'state', name: 'none', directory });
    expect(readdirSync(directory)).to.include('package.json');
  });

  it('refuses a kind and a runner that there are not', async () => {
    const directory = join(temp({}), 'made');
    const kind = await rejects(createPlugin({ ...plugin, kind: 'storage' as never, directory }), 'PLUGIN_INVALID');
    expect(kind.message).to.include(PLUGIN_KINDS.join(', '));
    const runner = createPlugin({ ...plugin, testRunner: 'jest' as never, directory });
    expect((await rejects(runner, 'PLUGIN_INVALID')).message).to.include('mocha, node, vitest');
  });

  it('pins every version, and names no place to download from', async () => {
    for (const kind of PLUGIN_KINDS) {
      for (const testRunner of ['mocha', 'node', 'vitest'] as const) {
        const files = await packageFiles({ kind, name: 'tiny', testRunner });
        const { devDependencies } = JSON.parse(files.get('package.json') as string) as {
          devDependencies: Record<string, string>;
        };
        for (const version of Object.values(devDependencies)) expect(version).to.match(/^\d+\.\d+\.\d+$/);
        for (const [path, text] of files) expect(text, path).to.not.match(/https?:|__[A-Z]+__/);
      }
    }
  });
});

describe('hyperplug create-plugin', () => {
  const temp = tempDirs();

  it('makes it and says what to do next', async () => {
    const directory = join(temp({}), 'tiny');
    const { exitCode, out } = await cli([
      'create-plugin',
      'agent',
      'tiny',
      '--dir',
      directory,
      '--test-runner',
      'vitest',
    ]);
    expect(exitCode).to.equal(0);
    expect(out).to.include(`${directory}/src/index.ts\n`).and.to.include(`cd ${directory} && npm install && npm test`);
    expect(readFileSync(join(directory, 'package.json'), 'utf8')).to.include('vitest');
  });

  it('makes none with the name of a built-in plugin', async () => {
    const directory = join(temp({}), 'qemu');
    const { exitCode, err } = await cli(['create-plugin', 'hypervisor', 'qemu', '--dir', directory]);
    expect(exitCode).to.equal(125);
    expect(err).to.include('PLUGIN_NAME_TAKEN').and.to.include('qemu');
    expect(existsSync(directory)).to.equal(false);
  });

  it('knows the kinds and runners, and tells them when another is asked for', async () => {
    const kind = await cli(['create-plugin', 'storage', 'tiny']);
    expect([kind.exitCode, kind.err]).to.deep.equal([2, kind.err]);
    expect(kind.err).to.include('hypervisor').and.to.include('storage');
    const runner = await cli(['create-plugin', 'agent', 'tiny', '--test-runner', 'jest']);
    expect(runner.exitCode).to.equal(2);
    expect(runner.err).to.include('mocha').and.to.include('jest');
  });
});
