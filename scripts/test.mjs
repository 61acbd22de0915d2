// npm test [-- STAGE… MOCHA-OPTION…]: sets up, then runs the stages one after the other, then says what came of each.
import { requireNode } from './node-version.mjs';

requireNode();
const { spawn } = await import('node:child_process');
const { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } = await import('node:fs');
const { tmpdir } = await import('node:os');
const { join } = await import('node:path');
const { root, setUp } = await import('./set-up.mjs');

/** In this order: a later stage relies on what an earlier one tests. `timeoutMs` is mocha's, per test. */
const STAGES = [
  { name: 'unit', timeoutMs: 20_000 },
  { name: 'contract', timeoutMs: 60_000 },
  { name: 'host', timeoutMs: 120_000 },
  { name: 'e2e', timeoutMs: 300_000 },
];
const STAGE_TIMEOUT_MS = 20 * 60_000;

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
    if (selected.length === 0 || selected.includes(stage.name)) results.push(await runStage(stage));
  }
  summarise(results);
}

async function runStage({ name, timeoutMs }) {
  const folder = join(root, 'dist', 'test', name);
  if (!hasTests(folder)) return { name, stats: undefined, code: 0, signal: null };
  process.stdout.write(`\n── ${name} ${'─'.repeat(60 - name.length)}\n`);
  const temporary = mkdtempSync(join(tmpdir(), 'hyperplug-test-'));
  const statsFile = join(temporary, 'stats.json');
  try {
    const mocha = [join(root, 'node_modules', 'mocha', 'bin', 'mocha.js'), '--timeout', String(timeoutMs)];
    const reporter = [
      '--reporter',
      join(root, 'scripts', 'mocha-reporter.mjs'),
      '--reporter-option',
      `stats=${statsFile}`,
    ];
    const guard = process.env.CI === 'true' ? ['--forbid-only'] : [];
    const files = `dist/test/${name}/**/*.test.js`;
    const outcome = await run([...mocha, ...reporter, ...guard, ...mochaArgs, files]);
    const stats = existsSync(statsFile) ? JSON.parse(readFileSync(statsFile, 'utf8')) : undefined;
    return { name, stats, ...outcome };
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

function hasTests(folder) {
  return existsSync(folder) && readdirSync(folder, { recursive: true }).some((file) => file.endsWith('.test.js'));
}

function run(argv) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, argv, { cwd: root, stdio: 'inherit' });
    // A test run that does not end has left something open, which is a defect of its own.
    const timer = setTimeout(() => child.kill('SIGKILL'), STAGE_TIMEOUT_MS);
    const passOn = (signal) => child.kill(signal);
    process.on('SIGTERM', passOn);
    process.on('SIGINT', () => {}); // the terminal sends it to the child too; the summary is still wanted
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      process.off('SIGTERM', passOn);
      resolve({ code, signal });
    });
  });
}

function summarise(results) {
  process.stdout.write(`\n── summary ${'─'.repeat(53)}\n`);
  let failed = false;
  for (const { name, stats, code, signal } of results) {
    failed ||= code !== 0;
    process.stdout.write(`${name.padEnd(10)}${describe(stats, code, signal)}\n`);
  }
  const sum = (count) => results.reduce((total, { stats }) => total + (stats?.[count] ?? 0), 0);
  process.stdout.write(`\n${sum('passes')} passed, ${sum('failures')} failed, ${sum('pending')} skipped\n`);
  process.exitCode = failed ? 1 : 0;
}

function describe(stats, code, signal) {
  if (!stats) return code === 0 ? 'no tests' : `did not finish (${signal ?? `exit code ${code}`})`;
  const counts = `${stats.passes} passed, ${stats.failures} failed, ${stats.pending} skipped`;
  const late = signal ? `; did not end and was killed after ${STAGE_TIMEOUT_MS / 60_000} minutes` : '';
  return `${code === 0 ? 'ok    ' : 'FAILED'}  ${counts}, ${(stats.duration / 1000).toFixed(1)} s${late}`;
}
