import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';

export async function build(context: CommandContext, options: { readonly refresh?: boolean }): Promise<number> {
  const image = await context.deps.buildImage({ ...context.engineOptions(), refresh: options.refresh === true });
  await context.print(
    image,
    () => `${image.description}\nkernel     ${image.kernelPath}\ninitramfs  ${image.initramfsPath}\n`,
  );
  return EXIT.ok;
}
