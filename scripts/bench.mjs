// npm run bench [-- NAME [ARGUMENT…]]: sets up, then runs one benchmark, or those that tell the most.
import { requireNode } from './node-version.mjs';

requireNode();
const { existsSync, readdirSync } = await import('node:fs');
const { root, setUp } = await import('./set-up.mjs');

const HELPERS = ['harness.ts'];
const DEFAULT = ['cold-start', 'ipam'];

const [name, ...args] = process.argv.slice(2);
const names = readdirSync(`${root}/bench`)
  .filter((file) => file.endsWith('.ts') && !HELPERS.includes(file))
  .map((file) => file.slice(0, -3));
if (name !== undefined && !names.includes(name)) {
  process.stderr.write(`npm run bench: no benchmark ${name}; there are ${names.join(', ')}\n`);
  process.exitCode = 2;
} else if (await setUp({ tests: true })) {
  process.argv = [process.argv[0], process.argv[1], ...args];
  for (const each of name === undefined ? DEFAULT : [name]) {
    const file = `${root}/dist/bench/${each}.js`;
    if (existsSync(file)) await import(file);
  }
}
