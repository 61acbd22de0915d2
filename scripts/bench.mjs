// npm run bench [-- NAME [ARGUMENT…]]: sets up, then runs benchmarks; --help tells the rest.
import { requireNode } from './node-version.mjs';

requireNode();
const { setUp } = await import('./set-up.mjs');

if (await setUp({ tests: true })) {
  const { main } = await import('../dist/bench/harness/main.js');
  await main(process.argv.slice(2));
}
