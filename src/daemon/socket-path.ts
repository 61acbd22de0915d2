import { join } from 'node:path';
import type { LoadedConfig } from '../core/config/load-config.js';
import { directoriesOf } from '../hyperplug.js';

/** Where the daemon of a configuration listens. In a module of its own: each command asks, and none needs the daemon for it. */
export function socketPathOf(loaded: LoadedConfig): string {
  return loaded.config.daemon.socket ?? join(directoriesOf(loaded).runtimeDirectory, 'daemon.sock');
}
