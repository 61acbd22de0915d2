// npm run bench [-- NAME [ARGUMENT…]]: sets up, then runs benchmarks; --help tells the rest.
import { requireNode } from './node-version.cjs';

requireNode();
const { setUp } = await import('./set-up.cjs');

if (await setUp({ tests: true })) {
  const { main } = await import('../dist/bench/harness/main.js');
  await main(process.argv.slice(2));
}
