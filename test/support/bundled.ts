import { mkdirSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { repository } from './sandbox.js';

/** What a module finds relative to itself is still there. */
const itsOwnUrl: Plugin = {
  name: 'its-own-url',
  setup({ onLoad }) {
    onLoad({ filter: /\.m?js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      return { contents: text.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href)) };
    });
  },
};

const bundles = new Map<string, Promise<string>>();

/**
 * A compiled program that tests start time and again, with all that it imports in one file: Node is sooner ready with it
 * than with hundreds of modules. It is gone with this process.
 */
export function bundled(program: string): Promise<string> {
  const known = bundles.get(program) ?? bundle(program);
  bundles.set(program, known);
  return known;
}

async function bundle(program: string): Promise<string> {
  // Native packages are found from here.
  const folder = join(repository, 'dist', 'test-programs', String(process.pid));
  const outfile = join(folder, basename(program).replace(/\.js$/, '.mjs'));
  mkdirSync(folder, { recursive: true });
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  await build({
    entryPoints: [program],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    external: ['koffi', 'lmdb', 'pino-pretty', 'esbuild'],
    // CommonJS packages ask for Node's own modules.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
    },
    plugins: [itsOwnUrl],
    logLevel: 'warning',
  });
  return outfile;
}
