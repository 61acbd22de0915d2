import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HyperplugError } from '../core/errors.js';
import { fillIn, type PluginPackage, packageJson, type Versions } from './package-json.js';

/** Path → text of every file of the package. */
export async function packageFiles(plugin: PluginPackage): Promise<ReadonlyMap<string, string>> {
  const root = packageRoot();
  const read = (...path: string[]) => readFile(join(root, 'templates', ...path), 'utf8');
  const versions = await readVersions(root);
  const { kind, name, testRunner } = plugin;
  const templates: Record<string, string> = {
    '.gitignore': await read('common', 'gitignore'),
    'README.md': (await read('common', 'README.md')).replace('__TODO__\n', () => ''),
    'biome.jsonc': await read('common', 'biome-config.jsonc'),
    [`docs/${name}.md`]: await read('common', 'docs.md'),
    'src/todo.ts': await read('common', 'todo.ts'),
    [`test/${kind}.test.ts`]: await read('common', 'runners', `${testRunner}.ts`),
    'tsconfig.json': await read('common', 'tsconfig.json'),
  };
  templates['README.md'] += await read(kind, 'todo.md');
  for (const folder of ['src', 'test']) {
    for (const file of await readdir(join(root, 'templates', kind, folder))) {
      templates[`${folder}/${file}`] = await read(kind, folder, file);
    }
  }
  const filled = Object.entries(templates).map(([path, text]) => [path, fillIn(text, plugin, versions)] as const);
  return new Map([...filled, ['package.json', packageJson(plugin, versions)]]);
}

async function readVersions(root: string): Promise<Versions> {
  const { version, engines, devDependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    version: string;
    engines: { node: string };
    devDependencies: Record<string, string>;
  };
  return { hyperplug: version, node: engines.node, devDependencies };
}

/** Of this package, wherever in it this file was bundled to. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'templates', 'common'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new HyperplugError('HOST_IO', 'the templates of this package are missing');
    folder = parent;
  }
  return folder;
}
