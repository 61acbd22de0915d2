// Joins the command line and what it needs into a few programs: what comes first, what commands start with, what belongs to one
// driver alone, and what few need (the daemon's server, YAML, other networks). A start then reads one file instead of some seven
// hundred, and V8 can keep what it compiled of it (program-loader.cjs). The native parts of packages stay where they are. The place is as deep below the root as dist/src/cli
// and dist/guest/image are, since code finds the package's own files relative to itself.
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, transform } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const outdir = join(root, 'dist', 'bundle', 'cli');

/** What comes before all else, with what it needs: the first program. */
const HEAD = 'src/head-start.ts';
/** What it imports on demand. */
const HEAD_NEEDS = ['src/plugins/qemu/head-start.ts', 'src/plugins/uml/head-start.ts'];

/** Of which a command needs one, or none. */
const DRIVERS = ['src/plugins/qemu/driver.ts', 'src/plugins/uml/driver.ts'];

/** What is loaded on demand, and seldom: it goes to the last program, with all that nothing else needs. */
const SELDOM = [
  'src/daemon/run.ts',
  'node_modules/yaml/dist/index.js',
  'node_modules/execa/index.js',
  'src/plugins/netlink/backend.ts',
  'src/plugins/iptables/firewall.ts',
  'src/cli/commands/completion.ts',
  'src/cli/commands/create-plugin.ts',
  'src/core/config/json-schema.ts',
  'src/host/rootfs/provider.ts',
  'src/host/debian/packages.ts',
  'src/host/rootless/session.ts',
  'guest/image/build.ts',
];

/** zod brings the words of fifty languages, a seventh of the whole; ours is English. */
const onlyEnglish = {
  name: 'only-english',
  setup({ onLoad }) {
    onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: "export { default as en } from './en.js';",
    }));
  },
};

/**
 * Libraries with a native part that every command loads: joined, they are of what V8 keeps. Their native parts are found as ever,
 * beside where they lie; where that is they ask by names that a joined program has not.
 */
const nativeLibraries = {
  name: 'native-libraries',
  setup({ onLoad, onResolve }) {
    const placeOf = (name) => `require('node:module').createRequire(__bundleUrl).resolve('${name}')`;
    const replaced = (filter, replacements) =>
      onLoad({ filter }, async ({ path }) => {
        const content = await readFile(path, 'utf8');
        const contents = replacements.reduce((so, [text, by]) => so.replaceAll(text, by), content);
        return { contents, loader: path.endsWith('.ts') ? 'ts' : 'js' };
      });
    // Ours ask for them when they are needed, and by require, which loads less.
    replaced(/\/src\/(host|plugins)\/.*\.ts$/, [
      ["createRequire(import.meta.url)('koffi')", "require('koffi')"],
      ["createRequire(import.meta.url)('lmdb')", "require('lmdb')"],
    ]);
    replaced(/\/node_modules\/lmdb\/dist\/index\.cjs$/, [['__filename', placeOf('lmdb')]]);
    replaced(/\/node_modules\/koffi\/src\/koffi\/index\.cjs$/, [
      ['__filename', placeOf('koffi')],
      ['__dirname', `(require('node:path').dirname(${placeOf('koffi')})+'/src/koffi')`],
    ]);
    // As a module and by require it is one.
    onResolve({ filter: /^koffi$/ }, () => ({
      path: join(root, 'node_modules', 'koffi', 'src', 'koffi', 'index.cjs'),
    }));
    onResolve({ filter: /^@koromix\// }, ({ path }) => ({ path, external: true }));
  },
};

/** It starts no programs for us, and would have the module that does loaded. */
const commanderAlone = {
  name: 'commander-alone',
  setup({ onLoad }) {
    const text = "const childProcess = require('node:child_process');";
    onLoad({ filter: /\/node_modules\/commander\/lib\/command\.js$/ }, async ({ path }) => {
      const content = await readFile(path, 'utf8');
      return {
        contents: content.replace(
          text,
          "const childProcess = { get spawn() { return require('node:child_process').spawn; } };",
        ),
      };
    });
  },
};

const common = {
  absWorkingDir: root,
  outdir,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  // Names stay as they are, for stacks.
  minifyWhitespace: true,
  minifySyntax: true,
  logLevel: 'warning',
};

rmSync(outdir, { recursive: true, force: true });
mkdirSync(outdir, { recursive: true });
const { metafile, outputFiles } = await build({
  ...common,
  entryPoints: { main: 'src/cli/main.ts', head: HEAD },
  splitting: true,
  chunkNames: '[name]-[hash]',
  entryNames: '[name]-[hash]',
  write: false,
  metafile: true,
  // The loader reads it as latin1.
  charset: 'ascii',
  external: ['pino-pretty'],
  define: { 'import.meta.url': '__bundleUrl' },
  plugins: [onlyEnglish, commanderAlone, nativeLibraries],
});
const text = new Map(outputFiles.map((file) => [basename(file.path), file.text]));
const parts = new Map(Object.entries(metafile.outputs).map(([path, part]) => [basename(path), part]));
const partOf = (source) => [...parts].find(([, { entryPoint }]) => entryPoint === source)[0];

/** Parts that these need to be loaded. */
function closure(names) {
  const found = new Set();
  const visit = (name) => {
    if (found.has(name)) return;
    found.add(name);
    for (const { path, kind, external } of parts.get(name).imports) {
      if (kind === 'import-statement' && !external) visit(basename(path));
    }
  };
  names.forEach(visit);
  return found;
}

const points = [...parts].filter(([, { entryPoint }]) => entryPoint !== undefined);
for (const wanted of [...DRIVERS, ...SELDOM]) {
  if (!points.some(([, { entryPoint }]) => entryPoint === wanted))
    throw new Error(`${wanted}: nothing imports it on demand`);
}
const apart = [...DRIVERS, ...SELDOM];
const drivers = DRIVERS.map((driver) => [basename(dirname(driver)), closure([partOf(driver)])]);
// What several drivers need is no driver's own: else one would load the other's program for it.
const shared = [...parts.keys()].filter((name) => drivers.filter(([, names]) => names.has(name)).length > 1);
const often = points.filter(([, { entryPoint }]) => !apart.includes(entryPoint)).map(([name]) => name);
const groups = {
  first: closure([HEAD, ...HEAD_NEEDS].map(partOf)),
  program: closure([...often, ...shared]),
  ...Object.fromEntries(drivers),
  seldom: new Set(parts.keys()),
};
/** The program that each part is in: the first that needs it. */
const programs = {};
const placed = new Set();
for (const [label, names] of Object.entries(groups)) {
  const own = [...names].filter((name) => !placed.has(name)).sort();
  const file = await program(label, own);
  for (const name of own) {
    programs[name] = file;
    placed.add(name);
  }
}

/** A function for each part, by its name, as CommonJS has modules. */
async function program(label, names) {
  const functions = await Promise.all(
    names.map(async (name) => {
      const { code } = await transform(text.get(name), {
        format: 'cjs',
        platform: 'node',
        target: 'node20',
        minifyWhitespace: true,
        minifySyntax: true,
        charset: 'ascii',
        supported: { 'dynamic-import': false },
      });
      return `${JSON.stringify(name)}:function(require,exports,module,__bundleUrl){'use strict';${code}}`;
    }),
  );
  const content = `({${functions.join(',\n')}})\n`;
  const name = `${label}-${createHash('sha256').update(content).digest('hex').slice(0, 8)}.cjs`;
  writeFileSync(join(outdir, name), content);
  return name;
}

// The package's files are ES modules; these, which Node loads by itself, are not.
writeFileSync(join(outdir, 'package.json'), '{"type":"commonjs"}\n');
await build({
  ...common,
  format: 'cjs',
  banner: { js: "const __bundleUrl = require('node:url').pathToFileURL(__filename).href;" },
  entryPoints: {
    main: 'scripts/program-loader.cjs',
    'resolve-hook': 'src/core/registry/resolve-hook.ts',
    'state-writer': 'src/plugins/local/state-writer.ts',
  },
  external: ['koffi', 'lmdb', 'pino-pretty'],
  define: {
    'import.meta.url': '__bundleUrl',
    HEAD: JSON.stringify(partOf(HEAD)),
    START: JSON.stringify(partOf('src/cli/main.ts')),
    PROGRAMS: JSON.stringify(programs),
  },
});
