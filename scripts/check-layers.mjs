// Imports go downwards only: cli → daemon, client → composition root → plugins → core and host. Run by `npm run lint`.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const TEST_RUNNERS = /^(mocha|chai|vitest|@vitest\/.*|jest|@jest\/.*|node:test)$/;

/** What a layer may import, besides itself. The first row whose prefix fits a file is its layer. */
const LAYERS = [
  { prefix: 'src/core/', may: [], types: ['src/host/'] },
  { prefix: 'src/host/', may: ['src/core/'] },
  {
    prefix: 'src/plugins/',
    may: ['src/core/', 'src/host/', 'guest/protocol/', 'guest/image/cpio.js'],
    ownFolderOnly: true,
  },
  { prefix: 'src/testing/', may: ['src/core/', 'src/host/'], runnerFree: true },
  { prefix: 'src/kit/', may: ['src/core/'] },
  { prefix: 'src/client/', may: ['src/core/', 'src/host/'] },
  { prefix: 'src/daemon/', may: ['src/core/', 'src/host/', 'src/plugins/', 'src/client/', 'guest/', 'src/*'] },
  { prefix: 'src/cli/', may: ['src/', 'guest/'] },
  { prefix: 'guest/', may: ['src/core/', 'src/host/'] },
  // The composition root: files directly in src.
  { prefix: 'src/', may: ['src/core/', 'src/host/', 'src/plugins/', 'src/client/', 'src/daemon/', 'guest/'] },
];

/** @returns {string[]} one line per import that goes the wrong way. */
export function checkLayers(root) {
  const wrong = [];
  for (const file of sourceFiles(root)) {
    for (const { specifier, typeOnly } of importsOf(readFileSync(join(root, file), 'utf8'))) {
      const why = violation(file, specifier, typeOnly);
      if (why) wrong.push(`${file}: imports ${specifier}: ${why}`);
    }
  }
  return wrong.sort();
}

function violation(file, specifier, typeOnly) {
  const layer = LAYERS.find(({ prefix }) => file.startsWith(prefix));
  if (layer.runnerFree && TEST_RUNNERS.test(specifier)) return 'the suites must run on any test runner';
  if (!specifier.startsWith('.')) return undefined;
  const target = posix.join(posix.dirname(file), specifier);
  if (layer.ownFolderOnly) {
    const own = file.split('/').slice(0, 3).join('/');
    if (target.startsWith(layer.prefix)) {
      return target.startsWith(`${own}/`) ? undefined : 'a plugin may not import another plugin';
    }
  } else if (isIn(layer.prefix, file, target)) {
    return undefined;
  }
  if (layer.may.some((prefix) => isIn(prefix, file, target))) return undefined;
  if (layer.types?.some((prefix) => target.startsWith(prefix))) {
    return typeOnly ? undefined : `${layer.prefix} may import only types from there`;
  }
  return `${layer.prefix} may import only ${[layer.prefix, ...layer.may].join(', ')}`;
}

/** `src/*` and the composition root's own `src/` mean files directly in src. */
function isIn(prefix, file, target) {
  const direct = prefix === 'src/*' || (prefix === 'src/' && !file.startsWith('src/cli/'));
  return direct ? /^src\/[^/]+$/.test(target) : target.startsWith(prefix);
}

/** @returns {{ specifier: string, typeOnly: boolean }[]} */
export function importsOf(source) {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const found = [];
  for (const match of code.matchAll(/^\s*(?:import|export)\s+([^'";]*?)\s*from\s+['"]([^'"]+)['"]/gm)) {
    found.push({ specifier: match[2], typeOnly: isTypeOnly(match[1]) });
  }
  for (const match of code.matchAll(/(?:^\s*import\s+|\bimport\(\s*)['"]([^'"]+)['"]/gm)) {
    found.push({ specifier: match[1], typeOnly: false });
  }
  return found;
}

/** `type { A, B }`, `type * as x`, or braces in which each name says `type`. */
function isTypeOnly(clause) {
  if (/^type\b(?!\s*,)/.test(clause)) return true;
  const names = /^\{([^}]*)\}$/.exec(clause)?.[1];
  if (names === undefined) return false;
  const parts = names.split(',').map((name) => name.trim());
  return parts.filter(Boolean).every((name) => name.startsWith('type '));
}

function sourceFiles(root) {
  return ['src', 'guest'].flatMap((top) => {
    let entries = [];
    try {
      entries = readdirSync(join(root, top), { recursive: true, withFileTypes: true });
    } catch {
      // a tree without that folder
    }
    return entries
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'));
  });
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const root = resolve(process.argv[2] ?? dirname(dirname(fileURLToPath(import.meta.url))));
  const wrong = checkLayers(root);
  for (const line of wrong) process.stderr.write(`${line}\n`);
  process.stdout.write(
    `layers: ${wrong.length === 0 ? 'imports go downwards only' : `${wrong.length} wrong imports`}\n`,
  );
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
