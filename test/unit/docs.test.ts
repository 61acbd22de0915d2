import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { parse } from 'yaml';
import { builtinPlugins } from '../../src/builtin-plugins.js';
import { loadConfig } from '../../src/core/config/load-config.js';
import { ERROR_CODES } from '../../src/core/error-codes.js';
import { parsePodSpec } from '../../src/core/pod/spec.js';
import { PluginHost } from '../../src/core/registry/plugin-host.js';
import { PluginRegistry } from '../../src/core/registry/registry.js';
import {
  configTable,
  errorTable,
  generatedPart,
  optionsTable,
  podSpecTable,
  ROOT,
  refusedTable,
  replaceGeneratedPart,
} from '../support/docs.js';
import { FAKE_CHOICE, fakePlugins } from '../support/fake-plugins.js';
import { tempDirs } from '../support/temp-dir.js';

/** `UPDATE_DOCS=1 npx mocha dist/test/unit/docs.test.js` writes the tables instead of comparing them. */
const update = process.env.UPDATE_DOCS === '1';

const generated: readonly [string, string, () => string][] = [
  ['errors.md', 'errors', errorTable],
  ['configuration.md', 'configuration', configTable],
  ['configuration.md', 'options', () => optionsTable(builtinPlugins)],
  ['pods.md', 'pod-spec', podSpecTable],
  ['pods.md', 'refused', refusedTable],
];

const page = (name: string) => readFileSync(join(ROOT, 'docs', name), 'utf8');
/** The first block of this language after the comment `<!-- NAME -->`. */
function block(name: string, mark: string, language: string): string {
  const match = new RegExp(`<!-- ${mark} -->\\n+\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(page(name));
  if (!match) throw new Error(`docs/${name}: no ${language} block ${mark}`);
  return match[1]!;
}

describe('docs', () => {
  for (const [name, part, make] of generated) {
    it(`docs/${name} (${part}) holds what the code says (UPDATE_DOCS=1 brings it up to date)`, () => {
      if (update) replaceGeneratedPart(name, part, make());
      expect(generatedPart(name, part)).to.equal(make());
    });
  }

  it('the pods of docs/pods.md are pods', () => {
    const defaults = { cpus: 1, memoryMib: 256, nicSlots: 4, network: 'default' };
    for (const mark of ['web', 'job']) {
      const { json } = parsePodSpec(parse(block('pods.md', mark, 'yaml')), defaults);
      expect(parsePodSpec(json, defaults).json, mark).to.deep.equal(json);
    }
  });

  it('docs/errors.md and the code have the same codes, both ways', () => {
    const documented = [...page('errors.md').matchAll(/^\| `([A-Z0-9_]+)` \|/gm)].map((match) => match[1]!);
    expect(
      documented.filter((code) => !(code in ERROR_CODES)),
      'documented, not in the code',
    ).to.deep.equal([]);
    const missing = Object.keys(ERROR_CODES).filter((code) => !documented.includes(code));
    expect(missing, 'in the code, not documented').to.deep.equal([]);
    expect(new Set(documented).size, 'each once').to.equal(documented.length);
  });

  it('the other pages name no code that there is not', () => {
    for (const name of ['configuration.md', 'plugins.md']) {
      const named = page(name).match(/\b(?:CONFIG|PLUGIN|NET|IPAM|VM|POD|STATE|AGENT|IMAGE)_[A-Z_]+\b/g) ?? [];
      expect(
        named.filter((code) => !(code in ERROR_CODES)),
        name,
      ).to.deep.equal([]);
    }
  });
});

describe('docs: examples', () => {
  const temp = tempDirs();

  it('the configuration of docs/configuration.md is read without complaint', async () => {
    const text = block('configuration.md', 'example', 'yaml');
    const root = temp({ 'hyperplug.yaml': text });
    const registry = new PluginRegistry();
    for (const plugin of fakePlugins()) {
      const section = { hypervisor: 'qemu', network: 'builtin-net', firewall: 'none', agent: 'hyperstart' };
      const name = section[plugin.kind as keyof typeof section] ?? 'local';
      registry.add({ ...plugin, name }, 'built in');
    }
    const loaded = await loadConfig({ registry, cwd: root, home: root, systemDirectory: join(root, 'e'), env: {} });
    expect(loaded.config.pods).to.deep.include((parse(text) as { pods: object }).pods);
  });

  it('the plugin of docs/plugins.md loads, starts and does what the page says', async () => {
    const root = temp({ 'memory-store.mjs': block('plugins.md', 'example', 'js') });
    const exported = (await import(pathToFileURL(join(root, 'memory-store.mjs')).href)) as { default: unknown };
    const registry = new PluginRegistry(fakePlugins());
    registry.add(exported.default, 'the example');
    const host = new PluginHost(
      registry.select({ ...FAKE_CHOICE, state: { name: 'memory', options: { maxEntries: 2 } } }),
    );
    const { state } = await host.start();
    const options = { signal: new AbortController().signal };
    await state.transaction((transaction) => transaction.put(['a', 'b'], { n: 1 }), options);
    expect(await state.get(['a', 'b'], options)).to.deep.equal({ n: 1 });
    expect(await state.list(['a'], options)).to.deep.equal([{ key: ['a', 'b'], value: { n: 1 } }]);
    await host.stop();
  });
});
