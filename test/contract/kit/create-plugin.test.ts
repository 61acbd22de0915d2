import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { PLUGIN_KINDS, type PluginKind } from '../../../src/core/plugin.js';
import type { TestRunner } from '../../../src/kit/runners.js';
import { ROOT } from '../../support/docs.js';
import { countsOfTap, packedCli, packedInstall, ran, runs, runTests } from '../../support/packed.js';

const update = process.env.UPDATE_DOCS === '1';
const RUNNERS: Readonly<Record<PluginKind, TestRunner>> = {
  hypervisor: 'mocha',
  network: 'node',
  firewall: 'vitest',
  agent: 'mocha',
  'address-pool': 'vitest',
  state: 'node',
};
/** The shortest and the longest that a name can be, among others: lines may not grow beyond what the lint takes. */
const NAMES: Readonly<Record<PluginKind, string>> = {
  hypervisor: `a-name-${'x'.repeat(25)}`,
  network: 'x',
  firewall: 'pf-2',
  agent: `another-${'y'.repeat(24)}`,
  'address-pool': 'z',
  state: `third${'-z'.repeat(13)}z`,
};

/** What the README of a skeleton lists as to do, as titles joined by spaces. */
const listed = (readme: string) =>
  [...readme.matchAll(/^- \[ \] (.*)$/gm)].map(([, path = '']) => path.replaceAll(' › ', ' ')).sort();

describe('create-plugin, from the packed package', function () {
  this.timeout(180_000);
  let root: string;
  before(async () => {
    root = await packedInstall();
  });

  for (const kind of PLUGIN_KINDS) {
    it(`${kind}: builds, passes its lint, and fails exactly the tests that its README lists (${RUNNERS[kind]})`, async () => {
      const [name, runner] = [NAMES[kind], update ? 'node' : RUNNERS[kind]];
      const made = await packedCli(['create-plugin', kind, name, '--test-runner', runner, '--json'], root);
      expect(made.code, made.stderr).to.equal(0);
      const { directory, files } = JSON.parse(made.stdout) as { directory: string; files: string[] };
      expect(directory).to.equal(join(root, `hyperplug-${name}`));
      const text = (path: string) => readFileSync(join(directory, path), 'utf8');
      for (const file of files) expect(text(file), file).to.not.match(/__[A-Z]+__|https?:/);
      await runs('npm', ['run', 'build'], { cwd: directory });
      await runs('npm', ['run', 'lint'], { cwd: directory });
      const test = `lib/test/${kind}.test.js`;
      if (update) {
        const { stdout } = await ran(process.execPath, ['--test', '--test-reporter=tap', test], { cwd: directory });
        return writeTodo(kind, countsOfTap(stdout).failedPaths);
      }
      const { failed, passed } = await runTests(runner, test, directory);
      expect(passed, 'tests that pass').to.be.above(0);
      expect(failed).to.deep.equal(listed(text('README.md')));
    });
  }

  it('a plugin that was made is one that hyperplug loads, also when V8 has kept the program', async () => {
    const config = join(root, 'hyperplug.json');
    const plugins = PLUGIN_KINDS.map((kind) => `./hyperplug-${NAMES[kind]}/lib/src/index.js`);
    const paths = { stateDirectory: join(root, 'state'), runtimeDirectory: join(root, 'run') };
    writeFileSync(config, JSON.stringify({ plugins, paths }));
    // A start that opens the state keeps what was compiled of the program, for the starts after it.
    const first = await packedCli(['ps', '--config', config], root);
    expect(first.code, first.stderr).to.equal(0);
    const bundle = readdirSync(join(root, 'node_modules/hyperplug/dist/bundle/cli'));
    expect(bundle.some((name) => name.endsWith('.cache'))).to.equal(true);
    const { code, stdout, stderr } = await packedCli(['plugins', '--json', '--config', config], root);
    expect(code, stderr).to.equal(0);
    const names = (JSON.parse(stdout) as { name: string }[]).map(({ name }) => name);
    expect(names).to.include.members(Object.values(NAMES));
  });

  it('npm test of a skeleton fails', async () => {
    const { code, stdout } = await ran('npm', ['test'], { cwd: join(root, 'hyperplug-x') });
    expect(code).to.not.equal(0);
    expect(stdout).to.match(/to do: /);
  });
});

function writeTodo(kind: PluginKind, paths: readonly (readonly string[])[]): void {
  const lines = paths.map((path) => `- [ ] ${path.join(' › ')}\n`);
  writeFileSync(join(ROOT, 'templates', kind, 'todo.md'), lines.join(''));
}
