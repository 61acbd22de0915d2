import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';

interface BuildOptions {
  readonly refresh?: boolean;
  readonly kernel?: boolean;
}

export async function build(context: CommandContext, { refresh, kernel }: BuildOptions): Promise<number> {
  const image = await context.deps.buildImage({
    ...context.engineOptions(),
    refresh: refresh === true,
    kernel: kernel === true,
  });
  await context.print(
    image,
    () => `${image.description}\nkernel     ${image.kernelPath}\ninitramfs  ${image.initramfsPath}\n`,
  );
  return EXIT.ok;
}
