#!/usr/bin/env node
// The bundled command line's first file: compiles the program with what V8 kept of an earlier compilation, which saves
// a third of a start's time. PROGRAMS (which has which part), HEAD and START are put in by scripts/bundle.mjs: the names of the programs
// hold a digest of their content, since V8 itself knows a source by its length alone. CommonJS: Node then starts without its loader of
// modules, and without all that the names of node:fs alone bring in with an import.
'use strict';
const { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } = require('node:fs');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');
const { Script } = require('node:vm');

const url = pathToFileURL(__filename).href;
const argv = process.argv.slice(2);
/** By what it compiled of a program the kinds of command differ most. */
const kind = argv[0] === 'run' || argv[0] === 'exec' ? argv[0] : 'other';
const programs = new Map();
const modules = new Map();

// zod would compile each schema at its first use (new Function), which is its last in a command.
globalThis.__zod_globalConfig = { jitless: true };
// V8's cache does not keep who imports for a script: the program asks for this (src/core/registry/load-plugins.ts).
Object.defineProperty(globalThis, Symbol.for('hyperplug.import'), { value: (specifier) => import(specifier) });
// What a command begins with runs beside the loading of the rest.
if (kind === 'run') part(HEAD).head(argv, __dirname).then(start, start);
else start();

function start() {
  part(START);
}

/** As CommonJS has it: a part that is asked for while it is being made is given as far as it is. */
function part(name) {
  const known = modules.get(name);
  if (known) return known.exports;
  const module = { exports: {} };
  modules.set(name, module);
  programOf(name)[name](requireFrom, module.exports, module, url);
  return module.exports;
}

/** Loaded with the first of its parts. */
function programOf(name) {
  const file = PROGRAMS[name];
  const known = programs.get(file);
  if (known) return known;
  const loaded = program(file);
  programs.set(file, loaded);
  return loaded;
}

function requireFrom(specifier) {
  return specifier.startsWith('./') ? part(specifier.slice(2)) : require(specifier);
}

/** Its parts, functions by name. */
function program(name) {
  const filename = join(__dirname, name);
  const cachePath = `${filename}.${kind}.${process.version}-${process.arch}.cache`;
  const cachedData = readIfThere(cachePath);
  const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData });
  if (cachedData === undefined || script.cachedDataRejected) process.on('exit', (code) => keep(script, cachePath, code));
  return script.runInThisContext();
}

/** Beside the program, so that whoever may change the one may change the other; where we may not write, nobody keeps it. */
function keep(script, cachePath, exitCode) {
  // A start that did little has compiled little: one that opened the state, and succeeded, has compiled what the next one needs.
  if (exitCode !== 0) return;
  if (!Object.keys(require.cache).some((path) => path.includes('/node_modules/lmdb/'))) return;
  const unfinished = `${cachePath}.${process.pid}`;
  try {
    const fd = openSync(unfinished, 'wx', 0o644);
    try {
      writeSync(fd, script.createCachedData());
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(unfinished, cachePath);
  } catch {
    rmSync(unfinished, { force: true });
  }
}

function readIfThere(path) {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
