// One stage of npm test: its files in mocha processes of their own, as many at once as there are CPUs, the longest first.
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { root } from './set-up.cjs';

/** A test run that does not end has left something open, which is a defect of its own. */
const RUN_TIMEOUT_MS = 20 * 60_000;
/** More at once would not be quicker where machines are emulated, and each has its memory. */
const MAX_AT_ONCE = 2;
/** Of a failed test's message, in the summary; the whole is above it. */
const MAX_LINES_OF_FAILURE = 12;
/** Of files of which nothing is known. */
const USUAL_SECONDS = 4;
/** How long each test file took: of a whole run on two CPUs, and above it what was measured here. */
const KNOWN_SECONDS = join(root, 'scripts', 'test-seconds.json');
const MEASURED_SECONDS = join(root, 'dist', 'test-seconds.json');

/** Told to end: what runs ends, and nothing more is begun. */
let stopped = false;

/**
 * @param {{ name: string, timeoutMs: number, filesPerRun: number }} stage timeoutMs is mocha's, per test.
 * @param {readonly string[]} mochaArgs
 * @returns {Promise<{ stats?: object, code: number, signal: string | null, bad: string[] }>} bad: what failed or did not finish, in words.
 */
export async function runStage({ name, timeoutMs, filesPerRun }, mochaArgs) {
  const started = Date.now();
  const files = longestFirst(testFiles(name));
  const total = { stats: undefined, code: 0, signal: null, bad: [] };
  const temporary = mkdtempSync(join(tmpdir(), 'hyperplug-test-'));
  const runs = batches(files, filesPerRun).map((batch, index) => ({ batch, place: join(temporary, String(index)) }));
  const worker = async () => {
    for (let next = runs.shift(); next && !stopped; next = runs.shift())
      add(total, await runFiles(next, timeoutMs, mochaArgs));
  };
  try {
    await Promise.all(Array.from({ length: Math.min(MAX_AT_ONCE, availableParallelism()) }, worker));
    if (total.stats) total.stats.duration = Date.now() - started;
    return total;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** Relative to dist/test. */
export function testFiles(stage) {
  const folder = join(root, 'dist', 'test', stage);
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .filter((file) => file.endsWith('.test.js'))
    .map((file) => `${stage}/${file}`);
}

function longestFirst(files) {
  const known = { ...readJson(KNOWN_SECONDS), ...readJson(MEASURED_SECONDS) };
  const seconds = (file) => known[file] ?? USUAL_SECONDS;
  return files.sort((a, b) => seconds(b) - seconds(a) || (a < b ? -1 : 1));
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return {};
  }
}

/** Round robin, so that none has all that is long. */
function batches(files, perRun) {
  const count = Math.ceil(files.length / perRun);
  return Array.from({ length: count }, (_, index) => files.filter((_file, at) => at % count === index));
}

function add(total, { batch, stats, code, signal }) {
  if (stats) {
    total.stats ??= { passes: 0, failures: 0, pending: 0 };
    for (const count of ['passes', 'failures', 'pending']) total.stats[count] += stats[count];
    const seconds = Object.entries(stats.seconds).map(([file, took]) => [nameOf(file), Math.round(took * 10) / 10]);
    const measured = { ...readJson(MEASURED_SECONDS), ...Object.fromEntries(seconds) };
    writeFileSync(MEASURED_SECONDS, `${JSON.stringify(measured, Object.keys(measured).sort(), 2)}\n`);
  }
  if (code === 0) return;
  total.code = code ?? 1;
  total.signal ??= signal;
  for (const { file, title, message } of stats?.failed ?? []) {
    const lines = message.split('\n').slice(0, MAX_LINES_OF_FAILURE);
    total.bad.push(`${nameOf(file)}: ${title}`, ...lines.map((line) => `  ${line.slice(0, 400)}`));
  }
  if (!stats || signal) total.bad.push(`did not finish (${signal ?? `exit code ${code}`}): ${batch.join(' ')}`);
}

/** As testFiles() gives it. */
const nameOf = (file) => relative(join(root, 'dist', 'test'), file);

/** What it writes is shown in one piece when it has ended. */
async function runFiles({ batch, place }, timeoutMs, mochaArgs) {
  const statsFile = `${place}.stats`;
  const output = openSync(place, 'w');
  const argv = [
    ...[join(root, 'node_modules', 'mocha', 'bin', 'mocha.js'), '--timeout', String(timeoutMs)],
    ...['--reporter', join(root, 'scripts', 'mocha-reporter.mjs'), '--reporter-option', `stats=${statsFile}`],
    ...(process.stdout.isTTY ? ['--color'] : []),
    ...(process.env.CI === 'true' ? ['--forbid-only'] : []),
    ...mochaArgs,
    ...batch.map((file) => `dist/test/${file}`),
  ];
  process.stdout.write(`begun: ${batch.join(' ')}\n`);
  const outcome = await run(argv, output);
  closeSync(output);
  process.stdout.write(readFileSync(place));
  const stats = existsSync(statsFile) ? JSON.parse(readFileSync(statsFile, 'utf8')) : undefined;
  return { batch, stats, ...outcome };
}

function run(argv, output) {
  return new Promise((resolve) => {
    // In a group of its own: a signal that a test sends to its group by mistake ends that test's run, which is told.
    const child = spawn(process.execPath, argv, { cwd: root, stdio: ['ignore', output, output], detached: true });
    const signalGroup = (signal) => {
      try {
        process.kill(-child.pid, signal);
      } catch {
        // It has ended.
      }
    };
    const timer = setTimeout(signalGroup, RUN_TIMEOUT_MS, 'SIGKILL');
    // The summary is still wanted.
    const passOn = (signal) => {
      stopped = true;
      signalGroup(signal);
    };
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, passOn);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      for (const each of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.off(each, passOn);
      resolve({ code, signal });
    });
  });
}
