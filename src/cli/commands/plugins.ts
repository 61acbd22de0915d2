import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { table } from '../text.js';

export async function execute(context: CommandContext): Promise<number> {
  const plugins = await context.deps.listPlugins(context.engineOptions());
  await context.print(plugins, () =>
    table(
      ['KIND', 'PLUGIN', 'USED', 'FROM', 'DESCRIPTION'],
      plugins.map((plugin) => [
        plugin.kind,
        plugin.name,
        plugin.selected ? 'yes' : '-',
        plugin.source,
        plugin.description,
      ]),
    ),
  );
  return EXIT.ok;
}
