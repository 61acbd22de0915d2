/** Run as a program, in the place that its scenario asks for: `child.js NAME RESULT [ARGUMENT…]`. */
import { renameSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { loadScenario } from './catalogue.js';
import { compare } from './compare.js';
import { numbersOf } from './numbers.js';
import type { ComparisonResult, ScenarioResult } from './result.js';
import { comparisonText } from './words.js';

/** Before the parent kills it: enough to put away what it made. */
const GRACE_MS = 5_000;

const [name = '', path = '', ...args] = process.argv.slice(2);
const scenario = await loadScenario(name);
const signal = AbortSignal.timeout(scenario.timeoutMs - GRACE_MS);
const begun = Date.now();
const load = loadavg().map((value) => Number(value.toFixed(2)));
const comparisons: ComparisonResult[] = [];

/** Whole or not at all: what was measured before it is killed counts. */
function write(failed?: string): void {
  const seconds = Number(((Date.now() - begun) / 1000).toFixed(1));
  const takenAt = new Date(begun).toISOString();
  const result: ScenarioResult = { name, takenAt, seconds, load, ...(failed && { failed }), comparisons };
  writeFileSync(`${path}.part`, JSON.stringify(result));
  renameSync(`${path}.part`, path);
}

try {
  const context = { args, signal, numbers: (...defaults: number[]) => numbersOf(args, defaults) };
  for await (const comparison of scenario.comparisons(context)) {
    const result = await compare(comparison, signal);
    comparisons.push(result);
    process.stdout.write(`${comparisonText(result)}\n`);
    write();
  }
  write();
} catch (error) {
  write(error instanceof Error ? error.message : String(error));
  process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
  process.exit(1);
}
// What a scenario left open does not hold it up.
process.exit(0);
