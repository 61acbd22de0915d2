import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';

export async function execute(context: CommandContext): Promise<number> {
  const { version } = context.deps;
  const value = { hyperplug: version, node: process.versions.node, platform: `${process.platform}-${process.arch}` };
  await context.print(value, () => `hyperplug ${version} (node ${value.node}, ${value.platform})\n`);
  return EXIT.ok;
}
