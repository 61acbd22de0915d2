import { type ExecFileOptions, execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestRunner } from '../../src/kit/runners.js';
import { ROOT } from './docs.js';

const DEADLINE_MS = 120_000;

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever its exit code. */
export async function ran(file: string, argv: readonly string[], options: ExecFileOptions = {}): Promise<Ran> {
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: undefined, ...options.env };
  try {
    const limits = { maxBuffer: 2 ** 26, timeout: DEADLINE_MS };
    const { stdout, stderr } = await promisify(execFile)(file, argv, { ...limits, ...options, env, encoding: 'utf8' });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: unknown; stdout?: string; stderr?: string };
    if (typeof code !== 'number') throw error;
    return { code, stdout, stderr };
  }
}

/** The same, and an exit code other than 0 is a failure of the test. */
export async function runs(file: string, argv: readonly string[], options: ExecFileOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await ran(file, argv, options);
  if (code !== 0) throw new Error(`${[file, ...argv].join(' ')}: exit code ${code}\n${stdout}\n${stderr}`);
  return stdout;
}

let packed: Promise<string> | undefined;

/**
 * A folder in whose node_modules this package is as `npm pack` makes it, beside what this repository has installed. What is
 * made below that folder finds them. It is made once, and gone with this process.
 */
export function packedInstall(): Promise<string> {
  packed ??= install();
  return packed;
}

async function install(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'hyperplug-packed-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  await runs('npm', ['pack', '--ignore-scripts', '--offline', '--pack-destination', folder], { cwd: ROOT });
  const [tarball] = readdirSync(folder).filter((name) => name.endsWith('.tgz')) as [string];
  const modules = join(folder, 'node_modules');
  mkdirSync(join(modules, 'hyperplug'), { recursive: true });
  await runs('tar', ['-xzf', join(folder, tarball), '--strip-components=1', '-C', join(modules, 'hyperplug')]);
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    if (name !== 'hyperplug') symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  }
  return folder;
}

/** What the tarball holds, sorted; what runs from the installed folder may put more beside it. */
export async function packedFiles(): Promise<string[]> {
  const folder = await packedInstall();
  const [tarball] = readdirSync(folder).filter((name) => name.endsWith('.tgz')) as [string];
  const list = await runs('tar', ['-tzf', join(folder, tarball)]);
  return list
    .split('\n')
    .filter((path) => path !== '' && !path.endsWith('/'))
    .map((path) => path.replace(/^package\//, ''))
    .sort();
}

/** The command line of the packed package. */
export async function packedCli(argv: readonly string[], cwd: string): Promise<Ran> {
  return ran(join(await packedInstall(), 'node_modules/hyperplug/hyperplug'), argv, { cwd });
}

export interface TestCounts {
  readonly passed: number;
  /** Titles below the suite's own, joined by a space, sorted. */
  readonly failed: readonly string[];
  readonly skipped: number;
}

/** Runs a compiled test file of a package on a runner. */
export async function runTests(runner: TestRunner, file: string, cwd: string): Promise<TestCounts> {
  const bin = (path: string) => join(ROOT, 'node_modules', path);
  if (runner === 'node') {
    const { stdout } = await ran(process.execPath, ['--test', '--test-reporter=tap', file], { cwd });
    return countsOfTap(stdout);
  }
  if (runner === 'mocha') {
    const argv = [bin('mocha/bin/mocha.js'), '--no-config', '--timeout', '60000', '--reporter', 'json', file];
    const { stdout, stderr } = await ran(process.execPath, argv, { cwd });
    const report = parse(stdout, stderr) as {
      stats: { passes: number; pending: number };
      failures: { fullTitle: string }[];
    };
    const failed = report.failures.map(({ fullTitle }) => fullTitle.replace(/^.*? contract: \S+ /, ''));
    return { passed: report.stats.passes, failed: failed.sort(), skipped: report.stats.pending };
  }
  const limits = ['--testTimeout', '60000', '--hookTimeout', '60000', '--maxWorkers=1', '--minWorkers=1'];
  const argv = [bin('vitest/vitest.mjs'), 'run', '--dir', 'lib', '--reporter=json', ...limits, file];
  const { stdout, stderr } = await ran(process.execPath, argv, { cwd });
  const report = parse(stdout, stderr) as {
    testResults: { assertionResults: { status: string; title: string; ancestorTitles: string[] }[] }[];
  };
  const results = report.testResults.flatMap(({ assertionResults }) => assertionResults);
  const failed = results
    .filter(({ status }) => status === 'failed')
    .map(({ ancestorTitles, title }) => [...ancestorTitles.slice(1), title].join(' '));
  const count = (wanted: RegExp) => results.filter(({ status }) => wanted.test(status)).length;
  return { passed: count(/passed/), failed: failed.sort(), skipped: count(/skipped|pending|todo/) };
}

function parse(stdout: string, stderr: string): unknown {
  try {
    return JSON.parse(stdout.slice(stdout.indexOf('{')));
  } catch {
    throw new Error(`no report of the tests:\n${stdout.slice(0, 4000)}\n${stderr.slice(-4000)}`);
  }
}

/** Of node:test's TAP, in which tests nest by indentation. */
export function countsOfTap(tap: string): TestCounts & { readonly failedPaths: readonly (readonly string[])[] } {
  const open: string[] = [];
  const suites = new Set<string>();
  const results: { readonly path: readonly string[]; readonly ok: boolean; readonly skipped: boolean }[] = [];
  for (const line of tap.split('\n')) {
    const [, indent = '', subtest, not, title = ''] =
      /^( *)(?:# Subtest: (.*)|(not )?ok \d+ - (.*))$/.exec(line) ?? ([] as string[]);
    const depth = indent.length / 4;
    if (subtest !== undefined) {
      open.length = depth;
      suites.add(open.join('\0'));
      open[depth] = plain(subtest);
    } else if (title !== '') {
      const skipped = / # (SKIP|TODO)\b/.test(title);
      results.push({ path: [...open.slice(0, depth), open[depth] ?? ''], ok: not === undefined, skipped });
    }
  }
  const leaves = results.filter(({ path }) => !suites.has(path.join('\0')));
  const failedPaths = leaves
    .filter(({ ok, skipped }) => !ok && !skipped)
    .map(({ path }) => path.slice(path.findIndex((title) => / contract: /.test(title)) + 1));
  return {
    passed: leaves.filter(({ ok, skipped }) => ok && !skipped).length,
    failed: failedPaths.map((path) => path.join(' ')).sort(),
    skipped: leaves.filter(({ skipped }) => skipped).length,
    failedPaths,
  };
}

const plain = (title: string) => title.replaceAll('\\#', '#').replaceAll('\\\\', '\\');
