// npm test [-- STAGE… MOCHA-OPTION…]: sets up, then runs the stages one after the other, then says what came of each.
import { requireNode } from './node-version.cjs';

requireNode();
const { setUp } = await import('./set-up.cjs');
const { runStage, testFiles } = await import('./test-stage.mjs');

/** In this order: a later stage relies on what an earlier one tests. `timeoutMs` is mocha's, per test. */
const STAGES = [
  { name: 'unit', timeoutMs: 20_000, filesPerRun: 120 },
  { name: 'contract', timeoutMs: 60_000, filesPerRun: 3 },
  { name: 'host', timeoutMs: 120_000, filesPerRun: 3 },
  { name: 'e2e', timeoutMs: 300_000, filesPerRun: 2 },
];

const args = process.argv.slice(2);
const names = STAGES.map(({ name }) => name);
const firstOption = args.findIndex((arg) => !names.includes(arg));
const selected = firstOption === -1 ? args : args.slice(0, firstOption);
const mochaArgs = firstOption === -1 ? [] : args.slice(firstOption);
if (mochaArgs.length > 0 && !mochaArgs[0].startsWith('-') && !mochaArgs[0].includes('/')) {
  process.stderr.write(`npm test: no stage ${mochaArgs[0]}; there are ${names.join(', ')}\n`);
  process.exit(2);
}

if (await setUp({ tests: true })) {
  const results = [];
  for (const stage of STAGES) {
    if (selected.length > 0 && !selected.includes(stage.name)) continue;
    const { name } = stage;
    if (testFiles(name).length === 0) {
      results.push({ name, code: 0, bad: [] });
      continue;
    }
    process.stdout.write(`\n── ${name} ${'─'.repeat(60 - name.length)}\n`);
    results.push({ name, ...(await runStage(stage, mochaArgs)) });
  }
  summarise(results);
}

function summarise(results) {
  process.stdout.write(`\n── summary ${'─'.repeat(53)}\n`);
  for (const { name, stats, code, bad } of results) {
    process.stdout.write(`${name.padEnd(10)}${describe(stats, code)}\n`);
    for (const each of bad) process.stdout.write(`          ${each}\n`);
  }
  process.exitCode = results.some(({ code }) => code !== 0) ? 1 : 0;
  const sum = (count) => results.reduce((total, { stats }) => total + (stats?.[count] ?? 0), 0);
  process.stdout.write(`\n${sum('passes')} passed, ${sum('failures')} failed, ${sum('pending')} skipped\n`);
}

function describe(stats, code) {
  if (!stats) return code === 0 ? 'no tests' : 'FAILED  did not finish';
  const counts = `${stats.passes} passed, ${stats.failures} failed, ${stats.pending} skipped`;
  return `${code === 0 ? 'ok    ' : 'FAILED'}  ${counts}, ${(stats.duration / 1000).toFixed(1)} s`;
}
