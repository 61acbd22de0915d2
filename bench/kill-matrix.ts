import { type Case, KillMatrix } from '../test/support/kill-matrix/matrix.js';
import { OPERATIONS } from '../test/support/kill-matrix/operations.js';
import { numbersOf } from './harness/numbers.js';
import type { Scenario } from './harness/scenario.js';

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

async function countSteps(): Promise<Map<string, number>> {
  const counter = new KillMatrix();
  const steps = new Map<string, number>();
  for (const operation of Object.keys(OPERATIONS)) steps.set(operation, (await counter.count(operation)).length);
  await counter.dispose();
  return steps;
}

function randomCases(steps: ReadonlyMap<string, number>, count: number, seed: number): Case[] {
  const next = random(seed);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(next() * all.length)] as T;
  return Array.from({ length: count }, () => {
    const operation = pick([...steps.keys()]);
    const victim = operation !== 'net init' && next() < 0.3 ? 'vm' : 'manager';
    return { operation, at: 1 + Math.floor(next() * (steps.get(operation) ?? 1)), victim };
  });
}

function everyCase(steps: ReadonlyMap<string, number>): Case[] {
  return (['manager', 'vm'] as const).flatMap((victim) =>
    [...steps].flatMap(([operation, number]) =>
      victim === 'vm' && operation === 'net init'
        ? []
        : Array.from({ length: number }, (_, index): Case => ({ operation, at: index + 1, victim })),
    ),
  );
}

/** What was left, in words. */
async function killAll(cases: Case[], lanes: number): Promise<string[]> {
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
          // What it left is not the next one's.
          await lane.dispose().catch(() => {});
          lane = new KillMatrix();
        }
        done += 1;
        if (done % 50 === 0) process.stdout.write(`  ${done} kills, ${failures.length} failures\n`);
      }
      const left = await lane.dispose();
      if (left.length > 0) failures.push(`left in the end: ${left.join(', ')}`);
    }),
  );
  return failures;
}

export default {
  shows:
    'Managers and VMs killed (SIGKILL) in the middle of each operation: what is left behind. At random steps, or with `all` at each step once.',
  usage: '[COUNT [LANES [SEED]]] | all [LANES]',
  place: 'own',
  timeoutMs: 3_600_000,
  async *comparisons({ args, numbers }) {
    const whole = args[0] === 'all';
    const [lanes = 0] = whole ? numbersOf(args.slice(1), [2]) : numbers(60, 2).slice(1);
    const [count = 0, , seed = 0] = whole ? [] : numbers(60, 2, Date.now() % 1_000_000);
    const steps = await countSteps();
    const cases = whole ? everyCase(steps) : randomCases(steps, count, seed);
    const how = whole ? 'each step once' : `seed ${seed}`;
    const title = `${cases.length} kills, ${how}, ${lanes} at once`;
    const failures = await killAll(cases, lanes);
    for (const failure of failures) process.stdout.write(`  ${failure.slice(0, 1_000)}\n`);
    yield {
      title,
      unit: 'failures',
      rounds: 1,
      limit: 0,
      ours: { name: 'kills that left something', samples: [failures.length] },
      against: [],
    };
  },
} satisfies Scenario;
