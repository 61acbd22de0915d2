import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Removes compiled files whose source is gone: a deleted test would go on being run. */
export function removeOrphans(root) {
  const walk = (folder) => {
    for (const entry of readdirSync(join(root, 'dist', folder), { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        walk(path);
        continue;
      }
      const source = /^(.*?)(\.js|\.js\.map|\.d\.ts)$/.exec(path);
      if (source && !existsSync(join(root, `${source[1]}.ts`))) rmSync(join(root, 'dist', path));
    }
  };
  if (existsSync(join(root, 'dist'))) walk('.');
}
