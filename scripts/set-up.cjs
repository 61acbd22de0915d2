'use strict';
// Dependencies and compiled code of a clone, made where they are missing or stale. Plain Node: it runs before anything
// is installed. What is up to date costs a few milliseconds of looking.
const { existsSync, lstatSync, mkdirSync, rmSync } = require('node:fs');
const { dirname, join } = require('node:path');
const { beginLook, dependencyState, sourceState, stampPath, writeStamp } = require('./stamps.cjs');

const root = dirname(__dirname);

/**
 * @param {{ tests: boolean, root?: string }} options tests: also compile what only tests need.
 * @returns {Promise<boolean>} false: it failed, and was told on stderr; process.exitCode is set.
 */
async function setUp({ tests, root: folder = root }) {
  const first = beginLook(folder);
  if (isCurrent(folder, tests)) {
    first.keep();
    return true;
  }
  first.drop();
  const { SetUpError, report, withLock, runStep } = await import('./set-up-steps.mjs');
  try {
    assertWritable(folder, SetUpError);
    await withLock(join(folder, '.cache', 'set-up.lock'), async (lockFd) => {
      const step = (label, argv) => runStep(label, argv, folder, lockFd);
      const look = beginLook(folder);
      try {
        const dependencies = dependencyState(folder);
        if (!dependencies.current) await installDependencies(folder, dependencies, { SetUpError, step });
        const sources = sourceState(folder, tests);
        if (!sources.current) await compile(folder, sources, tests, step);
        look.keep();
      } catch (error) {
        look.drop();
        throw error;
      }
    });
    return true;
  } catch (error) {
    if (!(error instanceof SetUpError)) throw error;
    report(error.message);
    process.exitCode = 1;
    return false;
  }
}

function isCurrent(folder, tests) {
  return dependencyState(folder).current && sourceState(folder, tests).current;
}

async function installDependencies(folder, { why, stamp }, { SetUpError, step }) {
  const modules = join(folder, 'node_modules');
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink()) {
    throw new SetUpError(`${modules} is a link, and what it points to does not fit package-lock.json: install there`);
  }
  rmSync(stampPath(folder, 'dependencies'), { force: true });
  const argv = ['npm', 'ci', '--no-audit', '--no-fund', '--include=dev', '--loglevel=error'];
  await step(`installing npm packages: ${why}`, argv);
  writeStamp(folder, 'dependencies', stamp);
}

async function compile(folder, { why, stamp }, tests, step) {
  const { removeOrphans } = await import('./orphans.mjs');
  // Without its stamp a compilation that is killed in the middle is done again.
  rmSync(stampPath(folder, 'sources'), { force: true });
  rmSync(stampPath(folder, 'tests'), { force: true });
  const project = tests ? 'tsconfig.json' : 'tsconfig.build.json';
  const compiler = join(folder, 'node_modules', 'typescript', 'bin', 'tsc');
  await step(`compiling: ${why}`, [process.execPath, compiler, '-p', project]);
  removeOrphans(folder);
  await step('bundling the command line', [process.execPath, join(folder, 'scripts', 'bundle.mjs')]);
  writeStamp(folder, 'sources', stamp.sources);
  if (tests) writeStamp(folder, 'tests', stamp.tests);
}

function assertWritable(folder, SetUpError) {
  try {
    mkdirSync(join(folder, '.cache'), { recursive: true });
    for (const name of ['.cache', 'dist', 'node_modules']) {
      if (existsSync(join(folder, name))) touch(join(folder, name));
    }
  } catch (error) {
    const user = process.getuid?.() ?? '?';
    throw new SetUpError(
      `${folder} has to be set up, and user ${user} cannot write there (${error.code} ${error.path ?? ''}): ` +
        'let its owner run ./hyperplug --version once, or clone it to a place of your own',
    );
  }
}

function touch(folder) {
  const probe = join(folder, `.write-probe-${process.pid}`);
  mkdirSync(probe);
  rmSync(probe, { recursive: true });
}

module.exports = { root, setUp };
