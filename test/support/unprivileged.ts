import { constants, cpSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { repository } from './sandbox.js';

export const NOBODY = 65_534;

/** The program where any user can read it: in the package itself, else in a copy below `folder`. */
export function readableProgram(folder: string): string {
  const main = 'dist/bundle/cli/main.js';
  let path = repository;
  let open = true;
  for (; path !== '/'; path = dirname(path)) open &&= (statSync(path).mode & constants.S_IXOTH) !== 0;
  if (open) return join(repository, main);
  for (const name of ['dist', 'guest', 'node_modules', 'package.json'])
    cpSync(join(repository, name), join(folder, 'package', name), { recursive: true });
  return join(folder, 'package', main);
}
