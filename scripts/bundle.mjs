// Joins the command line and what it needs into a few files: a start then reads a dozen of them instead of some seven
// hundred, which takes two thirds off it. Native packages stay packages. The place is as deep below the root as
// dist/src/cli and dist/guest/image are, since code finds the package's own files relative to itself.
import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const outdir = join(root, 'dist', 'bundle', 'cli');

rmSync(outdir, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: { main: 'src/cli/main.ts', 'resolve-hook': 'src/core/registry/resolve-hook.ts' },
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: 'linked',
  sourcesContent: false,
  // Parsing is the largest part of a start; names stay as they are, for stacks.
  minifyWhitespace: true,
  minifySyntax: true,
  external: ['koffi', 'lmdb', 'pino-pretty'],
  // CommonJS packages among them call require().
  banner: {
    js: "import { createRequire as createRequireOf } from 'node:module';const require = createRequireOf(import.meta.url);",
  },
  logLevel: 'warning',
});
