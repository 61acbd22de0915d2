// The way into a clone: sets up what is stale, then is the command line, in this same process.
import { requireNode } from './node-version.mjs';

requireNode();
const { root, setUp } = await import('./set-up.mjs');
if (await setUp({ tests: false })) {
  const main = `${root}/dist/bundle/cli/main.js`;
  process.argv[1] = main;
  await import(main);
}
