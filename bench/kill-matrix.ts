import { type Case, KillMatrix } from '../test/support/kill-matrix/matrix.js';
import { OPERATIONS } from '../test/support/kill-matrix/operations.js';

// npm run bench -- kill-matrix [COUNT [LANES [SEED]]]: so many random kills; fails if one of them leaves anything.
// npm run bench -- kill-matrix all [LANES]: each step of each operation, first of the manager and then of the VM.
const whole = process.argv[2] === 'all';
const numbers = process.argv.slice(2).map(Number);
const [, lanes = 2, seed = Date.now() % 1_000_000] = numbers;

/** mulberry32: the same seed, the same kills. */
function random(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

const next = random(seed);
const pick = <T>(all: readonly T[]): T => all[Math.floor(next() * all.length)] as T;
const counter = new KillMatrix();
const steps = new Map<string, number>();
for (const operation of Object.keys(OPERATIONS)) steps.set(operation, (await counter.count(operation)).length);
await counter.dispose();
const points = [...steps].map(([operation, number]) => `${operation} ${number}`).join(', ');

function randomCase(): Case {
  const operation = pick([...steps.keys()]);
  const victim = operation !== 'net init' && next() < 0.3 ? 'vm' : 'manager';
  return { operation, at: 1 + Math.floor(next() * (steps.get(operation) ?? 1)), victim };
}

function everyCase(): Case[] {
  return (['manager', 'vm'] as const).flatMap((victim) =>
    [...steps].flatMap(([operation, number]) =>
      victim === 'vm' && operation === 'net init'
        ? []
        : Array.from({ length: number }, (_, index): Case => ({ operation, at: index + 1, victim })),
    ),
  );
}

const cases = whole ? everyCase() : Array.from({ length: numbers[0] ?? 500 }, randomCase);
const how = whole ? 'each step once' : `seed ${seed}`;
console.log(`kill matrix: ${cases.length} kills, ${how}, ${lanes} at once; steps: ${points}`);
const started = Date.now();
const failures: string[] = [];
let done = 0;
await Promise.all(
  Array.from({ length: lanes }, async () => {
    let lane = new KillMatrix();
    for (let each = cases.shift(); each; each = cases.shift()) {
      try {
        await lane.run(each);
      } catch (error) {
        failures.push((error as Error).message);
        console.log(`  FAILED: ${(error as Error).message.slice(0, 1_000)}`);
        // What it left is not the next one's.
        await lane.dispose().catch(() => {});
        lane = new KillMatrix();
      }
      done += 1;
      if (done % 50 === 0) console.log(`  ${done} kills, ${failures.length} failures`);
    }
    const left = await lane.dispose();
    if (left.length > 0) failures.push(`left in the end: ${left.join(', ')}`);
  }),
);
console.log(`  ${failures.length} failures in ${done} kills, ${((Date.now() - started) / 1000).toFixed(0)} s`);
process.exit(failures.length === 0 ? 0 : 1);
