// Joins the command line and what it needs into one program: a start then reads one file instead of some seven hundred,
// and V8 can keep what it compiled of it (program-loader.mjs). Native packages stay packages. The place is as deep below
// the root as dist/src/cli and dist/guest/image are, since code finds the package's own files relative to itself.
import { rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const outdir = join(root, 'dist', 'bundle', 'cli');

/** zod brings the words of fifty languages, a seventh of the whole; ours is English. */
const onlyEnglish = {
  name: 'only-english',
  setup({ onLoad }) {
    onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: "export { default as en } from './en.js';",
    }));
  },
};

const common = {
  absWorkingDir: root,
  outdir,
  bundle: true,
  platform: 'node',
  target: 'node20',
  // Names stay as they are, for stacks.
  minifyWhitespace: true,
  minifySyntax: true,
  logLevel: 'warning',
};

rmSync(outdir, { recursive: true, force: true });
const { metafile } = await build({
  ...common,
  entryPoints: { program: 'src/cli/main.ts' },
  entryNames: '[name]-[hash]',
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  // The loader reads it as latin1.
  charset: 'ascii',
  sourcemap: 'linked',
  sourcesContent: false,
  external: ['koffi', 'lmdb', 'pino-pretty'],
  define: { 'import.meta.url': '__bundleUrl' },
  banner: {
    js: "(function(require,__filename){'use strict';const module={exports:{}};const __bundleUrl=require('node:url').pathToFileURL(__filename).href;",
  },
  footer: { js: '})' },
  plugins: [onlyEnglish],
  metafile: true,
});
const program = Object.keys(metafile.outputs).find((path) => path.endsWith('.cjs'));
await build({
  ...common,
  entryPoints: {
    main: 'scripts/program-loader.mjs',
    'resolve-hook': 'src/core/registry/resolve-hook.ts',
    'state-writer': 'src/plugins/local/state-writer.ts',
  },
  external: ['koffi', 'lmdb'],
  format: 'esm',
  define: { PROGRAM: JSON.stringify(basename(program)) },
});
