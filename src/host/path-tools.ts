import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { HyperplugError } from '../core/errors.js';
import type { ToolProvider } from './tools.js';

/** Programs from PATH and the system's folders: for when the composition root binds no other ToolProvider. */
export const pathTools: ToolProvider = {
  async locate(name) {
    const folders = [
      ...(process.env.PATH ?? '').split(delimiter),
      '/usr/sbin',
      '/usr/bin',
      '/sbin',
      '/bin',
      '/usr/lib/qemu',
      '/usr/libexec',
    ];
    for (const folder of folders) {
      if (!folder.startsWith('/')) continue;
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return { name, path, origin: 'path', env: {} };
      } catch {}
    }
    throw new HyperplugError('HOST_TOOL_MISSING', `${name}: not in ${folders.join(delimiter)}`, { details: { name } });
  },
};
