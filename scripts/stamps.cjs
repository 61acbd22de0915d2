'use strict';
// What is up to date: a stamp is a hash of what a step was made from, written when the step is done.
const { createHash } = require('node:crypto');
const { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } = require('node:fs');
const { dirname, join } = require('node:path');

const PLACES = {
  dependencies: 'node_modules/.hyperplug-stamp',
  sources: 'dist/.sources-stamp',
  tests: 'dist/.tests-stamp',
};
const SOURCES = [
  'src',
  'guest',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'scripts/bundle.mjs',
  'scripts/program-loader.cjs',
];
const TESTS = ['test', 'bench'];

function stampPath(root, kind) {
  return join(root, PLACES[kind]);
}

function readStamp(root, kind) {
  try {
    return readFileSync(stampPath(root, kind), 'utf8');
  } catch {
    return undefined;
  }
}

/**
 * What is looked at from now on is as new as this, at least: launcher/clone.c compares with its time, if the look found all current.
 * Where it cannot be written nothing is compared. @returns {{ keep(): void, drop(): void }}
 */
function beginLook(root) {
  const seen = join(root, 'dist/.sources-seen');
  const unfinished = `${seen}.${process.pid}`;
  const attempt = (step) => {
    try {
      step();
    } catch {
      rmSync(unfinished, { force: true });
    }
  };
  attempt(() => {
    mkdirSync(dirname(seen), { recursive: true });
    writeFileSync(unfinished, '');
  });
  return {
    keep: () => attempt(() => renameSync(unfinished, seen)),
    drop: () => attempt(() => rmSync(unfinished, { force: true })),
  };
}

/** Appears whole or not at all. */
function writeStamp(root, kind, stamp) {
  const path = stampPath(root, kind);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, stamp);
  renameSync(`${path}.${process.pid}`, path);
}

/** @returns {{ current: boolean, why: string, stamp: string }} */
function dependencyState(root) {
  const lock = readFileSync(join(root, 'package-lock.json'));
  const stamp = createHash('sha256').update(lock).update(`${process.platform} ${process.arch}`).digest('hex');
  const found = readStamp(root, 'dependencies');
  if (found === stamp) return { current: true, why: '', stamp };
  if (found === undefined && installedByHand(root, JSON.parse(lock))) return { current: true, why: '', stamp };
  const why = found === undefined ? 'node_modules is missing or incomplete' : 'package-lock.json has changed';
  return { current: false, why, stamp };
}

/** npm's own record, which it writes last, names every package of the lock file in its version. */
function installedByHand(root, lock) {
  let installed;
  try {
    installed = JSON.parse(readFileSync(join(root, 'node_modules/.package-lock.json'), 'utf8')).packages;
  } catch {
    return false;
  }
  return Object.entries(lock.packages).every(
    ([path, { version, optional, devOptional, peer }]) =>
      path === '' || optional || devOptional || peer || installed[path]?.version === version,
  );
}

/** @returns {{ current: boolean, why: string, stamp: { sources: string, tests: string } }} */
function sourceState(root, tests) {
  const stamp = { sources: fingerprint(root, SOURCES), tests: tests ? fingerprint(root, TESTS) : '' };
  const found = readStamp(root, 'sources');
  if (found !== stamp.sources) {
    return { current: false, why: found === undefined ? 'nothing is compiled yet' : 'sources have changed', stamp };
  }
  if (tests && readStamp(root, 'tests') !== stamp.tests) return { current: false, why: 'tests have changed', stamp };
  return { current: true, why: '', stamp };
}

/** Over path, size and mtime of the TypeScript and JSON files below: contents are not read. */
function fingerprint(root, names) {
  const hash = createHash('sha256');
  const add = (path, stats) => hash.update(`${path}\0${stats.size}\0${stats.mtimeMs}\n`);
  const walk = (folder) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true }).sort(byName)) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else if (/\.(ts|json)$/.test(entry.name)) add(path, statSync(join(root, path)));
    }
  };
  for (const name of names) {
    const stats = statSync(join(root, name), { throwIfNoEntry: false });
    if (stats?.isDirectory()) walk(name);
    else if (stats) add(name, stats);
  }
  return hash.digest('hex');
}

function byName(one, other) {
  return one.name < other.name ? -1 : 1;
}

module.exports = { beginLook, dependencyState, fingerprint, readStamp, sourceState, stampPath, writeStamp };
