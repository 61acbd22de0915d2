import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { catalogue } from './catalogue.js';
import { mergeResults, writeDocs } from './docs.js';
import { describeMachine } from './machine.js';
import { type BenchRequest, parseOptions, USAGE } from './options.js';
import { runScenario } from './place.js';
import { type BenchResult, benchResult, type ScenarioResult } from './result.js';
import type { Scenario } from './scenario.js';
import { machineText, outcome } from './words.js';

const DEFAULT_RESULT = fileURLToPath(new URL('../../bench-result.json', import.meta.url));
/** Without a word: what tells the most in little time. */
const USUAL = ['cold-start', 'cold-start-uml', 'ipam'];

const say = (text: string) => process.stdout.write(`${text}\n`);

/** `npm run bench`. The exit code is 1 when a scenario failed or missed a target, 2 when the words were wrong. */
export async function main(words: readonly string[]): Promise<void> {
  const scenarios = await catalogue();
  let request: BenchRequest;
  try {
    request = parseOptions(words, [...scenarios.keys()], USUAL);
  } catch (error) {
    process.stderr.write(`npm run bench: ${(error as Error).message}\n`);
    process.exitCode = 2;
    return;
  }
  if (request.kind === 'help') say(USAGE);
  else if (request.kind === 'list') say(list(scenarios));
  else if (request.kind === 'docs') writeDocs(mergeResults(request.results.map(readResult)), scenarios);
  else await run(request, scenarios);
}

function list(scenarios: ReadonlyMap<string, Scenario>): string {
  const width = Math.max(...[...scenarios].map(([name, { usage = '' }]) => `${name} ${usage}`.length));
  return [...scenarios]
    .map(([name, { usage = '', shows }]) => `${`${name} ${usage}`.padEnd(width)}  ${shows}`)
    .join('\n');
}

function readResult(path: string): BenchResult {
  const parsed = benchResult.safeParse(JSON.parse(readFileSync(path, 'utf8')));
  if (parsed.success) return parsed.data;
  throw new Error(`${path} is not what --json writes: ${parsed.error.message}`);
}

async function run(
  { names, args, json }: Extract<BenchRequest, { kind: 'run' }>,
  scenarios: ReadonlyMap<string, Scenario>,
): Promise<void> {
  const path = resolve(json ?? DEFAULT_RESULT);
  const about = describeMachine();
  say(machineText(about));
  const done: ScenarioResult[] = [];
  for (const name of names) {
    const scenario = scenarios.get(name) as Scenario;
    say(`${name}: ${scenario.shows}`);
    const result = await runScenario(name, scenario, args);
    if (result.skipped) say(`  skipped: ${result.skipped}`);
    if (result.failed) say(`  FAILED: ${result.failed}`);
    done.push(result);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${JSON.stringify(benchResult.parse({ version: 1, ...about, scenarios: done }))}\n`);
    if (process.exitCode === 130) return;
  }
  say(`\n${path}`);
  for (const result of done) say(`  ${result.name}: ${outcome(result) || 'measured'}`);
  const well = done.every((result) => ['', 'met', 'skipped'].includes(outcome(result)));
  if (!well) process.exitCode = 1;
}
