/**
 * Long fuzzing of what the client does with a guest's bytes: codecs, scanners, JSON, whole sessions.
 *   npx tsc && node dist/test/fuzz/hyperstart-client.js [runs, default 1000000] [seed]
 * A failure prints the shrunk input with the seed and path that repeat it.
 */
import fc from 'fast-check';
import {
  controlGarbage,
  jsonGarbage,
  scannersGarbage,
  streamGarbage,
} from '../unit/plugins/hyperstart/codec-properties.js';
import { sessionGarbage } from '../unit/plugins/hyperstart/session-properties.js';

const runs = Number(process.argv[2] ?? 1_000_000);
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 31);
if (!Number.isInteger(runs) || runs < 1)
  throw new TypeError(`runs: expected a whole number above 0, got ${process.argv[2]}`);
// A guest can never make the host lose a rejection.
process.on('unhandledRejection', (error) => {
  throw error;
});

const shares: [string, number, (numRuns: number) => void | Promise<void>][] = [
  ['control codec', 0.35, (numRuns) => fc.assert(controlGarbage(), { numRuns, seed })],
  ['stream codec', 0.35, (numRuns) => fc.assert(streamGarbage(), { numRuns, seed })],
  ['scanners', 0.15, (numRuns) => fc.assert(scannersGarbage(), { numRuns, seed })],
  ['JSON', 0.13, (numRuns) => fc.assert(jsonGarbage(), { numRuns, seed })],
  ['sessions, extension', 0.01, (numRuns) => fc.assert(sessionGarbage(false), { numRuns, seed })],
  ['sessions, original', 0.01, (numRuns) => fc.assert(sessionGarbage(true), { numRuns, seed })],
];

let total = 0;
const begun = Date.now();
for (const [name, share, run] of shares) {
  const numRuns = Math.max(1, Math.ceil(runs * share));
  await run(numRuns);
  total += numRuns;
  console.log(`${name}: ${numRuns} inputs, ${Math.round((Date.now() - begun) / 1000)} s so far`);
}
console.log(`${total} inputs, seed ${seed}: no failure`);
