#!/usr/bin/env node
// The bundled command line's first file: compiles the program with what V8 kept of an earlier compilation, which saves
// a third of a start's time. OFTEN, SELDOM and START are put in by scripts/bundle.mjs: the names of the two programs hold a
// digest of their content, since V8 itself knows a source by its length alone.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';

const directory = dirname(fileURLToPath(import.meta.url));
const requirePackage = createRequire(import.meta.url);
const often = program(OFTEN);
let seldom;
const modules = new Map();

// zod would compile each schema at its first use (new Function), which is its last in a command.
globalThis.__zod_globalConfig = { jitless: true };
// V8's cache does not keep who imports for a script: the program asks for this (src/core/registry/load-plugins.ts).
Object.defineProperty(globalThis, Symbol.for('hyperplug.import'), { value: (specifier) => import(specifier) });
part(START);

/** As CommonJS has it: a part that is asked for while it is being made is given as far as it is. */
function part(name) {
  const known = modules.get(name);
  if (known) return known.exports;
  if (!often[name]) seldom ??= program(SELDOM);
  const module = { exports: {} };
  modules.set(name, module);
  (often[name] ?? seldom[name])(requireFrom, module.exports, module, import.meta.url);
  return module.exports;
}

function requireFrom(specifier) {
  return specifier.startsWith('./') ? part(specifier.slice(2)) : requirePackage(specifier);
}

/** Its parts, functions by name. */
function program(name) {
  const filename = join(directory, name);
  const cachePath = `${filename}.${process.version}-${process.arch}.cache`;
  const cachedData = readIfThere(cachePath);
  const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData });
  if (cachedData === undefined || script.cachedDataRejected) process.on('exit', () => keep(script, cachePath));
  return script.runInThisContext();
}

/** Beside the program, so that whoever may change the one may change the other; where we may not write, nobody keeps it. */
function keep(script, cachePath) {
  // A start that did little has compiled little: one that opened the state has compiled what the next one needs.
  if (!Object.keys(requirePackage.cache).some((path) => path.includes('/node_modules/lmdb/'))) return;
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
