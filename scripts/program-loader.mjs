#!/usr/bin/env node
// The bundled command line's first file: compiles the program with what V8 kept of an earlier compilation, which saves
// a third of a start's time. PROGRAM is put in by scripts/bundle.mjs: its name holds a digest of its content, since V8
// itself knows a source by its length alone.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';

const directory = dirname(fileURLToPath(import.meta.url));
const filename = join(directory, PROGRAM);
const cachePath = `${filename}.${process.version}-${process.arch}.cache`;

const cachedData = readIfThere(cachePath);
const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData });
// V8's cache does not keep who imports for a script: the program asks for this (src/core/registry/load-plugins.ts).
Object.defineProperty(globalThis, Symbol.for('hyperplug.import'), { value: (specifier) => import(specifier) });
const require = createRequire(filename);
if (cachedData === undefined || script.cachedDataRejected) process.on('exit', keep);
script.runInThisContext()(require, filename);

/** Beside the program, so that whoever may change the one may change the other; where we may not write, nobody keeps it. */
function keep() {
  // A start that did little has compiled little: one that opened the state has compiled what the next one needs.
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
