import { join } from 'node:path';
import type { DebianGuestImageProvider } from '../guest/image/index.js';
import type { LoadedConfig } from './core/config/load-config.js';
import type { PluginPaths } from './core/plugin.js';
import { type Directories, defaultDirectories } from './host/paths.js';
import type { ToolProvider } from './host/tools.js';

/** Building an image may fetch packages; each of its steps has a deadline of its own, this is the last resort. */
export const IMAGE_TIMEOUT_MS = 30 * 60_000;

export function directoriesOf({ config }: LoadedConfig): Directories {
  const defaults = defaultDirectories();
  const { stateDirectory, runtimeDirectory, cacheDirectory } = config.paths;
  return {
    stateDirectory: stateDirectory ?? defaults.stateDirectory,
    runtimeDirectory: runtimeDirectory ?? defaults.runtimeDirectory,
    cacheDirectory: cacheDirectory ?? defaults.cacheDirectory,
  };
}

/** Where the daemon of a configuration listens, and the file that it locks while it is there. */
export function daemonPaths(loaded: LoadedConfig): { readonly socketPath: string; readonly lockPath: string } {
  const { runtimeDirectory, stateDirectory } = directoriesOf(loaded);
  return {
    socketPath: loaded.config.daemon.socket ?? join(runtimeDirectory, 'daemon.sock'),
    lockPath: join(stateDirectory, 'daemon.lock'),
  };
}

/** The guest image that a configuration asks for, built where it has to be. */
export async function imageProvider(
  loaded: LoadedConfig,
  tools: ToolProvider,
  refresh = false,
  own: { readonly kernel?: string; readonly initramfs?: string } = {},
): Promise<DebianGuestImageProvider> {
  const { DebianGuestImageProvider } = await import('../guest/image/index.js');
  const { imageDirectory } = loaded.config.guest;
  const { kernel = loaded.config.guest.kernel, initramfs = loaded.config.guest.initramfs } = own;
  return new DebianGuestImageProvider({
    cacheDir: directoriesOf(loaded).cacheDirectory,
    tools,
    refresh,
    ...(imageDirectory === undefined ? {} : { imageDir: imageDirectory }),
    ...(kernel === undefined ? {} : { kernelPath: kernel }),
    ...(initramfs === undefined ? {} : { initramfsPath: initramfs }),
  });
}

export const pluginPaths = ({ cacheDirectory, stateDirectory, runtimeDirectory }: Directories): PluginPaths => ({
  cacheDir: cacheDirectory,
  stateDir: stateDirectory,
  runtimeDir: runtimeDirectory,
});
