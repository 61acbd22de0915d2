import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { json } from '../text.js';

export async function show(context: CommandContext, options: { readonly origin?: boolean }): Promise<number> {
  const origins = options.origin === true;
  const config = await context.deps.describeConfig({ ...context.engineOptions(), origins });
  const value = origins ? { config: config.value, origins: config.origins } : config.value;
  await context.print(value, () => config.text);
  return EXIT.ok;
}

export async function schema(context: CommandContext): Promise<number> {
  const value = await context.deps.configSchema(context.engineOptions());
  await context.print(value, () => json(value));
  return EXIT.ok;
}
