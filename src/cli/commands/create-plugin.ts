import { relative } from 'node:path';
import { builtinPlugins } from '../../builtin-plugins.js';
import type { PluginKind } from '../../core/plugin.js';
import { createPlugin } from '../../kit/create-plugin.js';
import type { TestRunner } from '../../kit/runners.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';

interface Options {
  readonly kind: PluginKind;
  readonly name: string;
  readonly dir?: string;
  readonly testRunner: TestRunner;
}

export async function execute(context: CommandContext, { kind, name, dir, testRunner }: Options): Promise<number> {
  const made = await createPlugin({ kind, name, testRunner, directory: dir, taken: builtinPlugins });
  const near = relative(process.cwd(), made.directory) || '.';
  const place = near.startsWith('..') ? made.directory : near;
  await context.print(made, () =>
    [...made.files.map((file) => `${place}/${file}`), '', `cd ${place} && npm install && npm test`, ''].join('\n'),
  );
  return EXIT.ok;
}
