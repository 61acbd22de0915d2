import { spawn } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const REPOSITORY = fileURLToPath(new URL('../../../..', import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A clone of nothing but the launcher, with an npm, a compiler and a mocha that only write down that they ran. */
export class FakeClone {
  readonly folder = mkdtempSync(join(tmpdir(), 'hyperplug-clone-'));
  private readonly children = new Set<ReturnType<typeof spawn>>();

  constructor() {
    chmodSync(this.folder, 0o755);
    cpSync(join(REPOSITORY, 'scripts'), join(this.folder, 'scripts'), { recursive: true });
    cpSync(join(REPOSITORY, 'hyperplug'), join(this.folder, 'hyperplug'));
    this.write(
      'scripts/bundle.mjs',
      `import { cpSync, writeFileSync } from 'node:fs';
      cpSync('dist/src/cli/main.js', 'dist/bundle/cli/main.js');
      writeFileSync('dist/bundle/cli/package.json', '{"type":"commonjs"}');`,
    );
    this.write('package.json', '{"type":"module"}');
    this.write('package-lock.json', '{"packages":{}}');
    this.write('tsconfig.json', '{}');
    this.write('src/cli/main.ts', '// compiled by the fake compiler');
    this.npm('');
  }

  write(path: string, text: string): void {
    const file = join(this.folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  /** The fake npm: does `first`, then installs a fake compiler. */
  npm(first: string): void {
    const compiler = `
      const { appendFileSync, mkdirSync, writeFileSync } = require('node:fs');
      appendFileSync('log', 'tsc ' + process.argv.slice(2).join(' ') + '\\n');
      mkdirSync('dist/src/cli', { recursive: true });
      writeFileSync('dist/src/cli/main.js', 'console.log("main", ...process.argv.slice(2)); process.exitCode = 5;');`;
    const mocha = `
      const { appendFileSync, writeFileSync } = require('node:fs');
      const stage = /test.(\\w+)./.exec(process.argv.at(-1))[1];
      appendFileSync('log', 'mocha ' + stage + '\\n');
      const file = process.argv.find((arg) => arg.startsWith('stats=')).slice(6);
      const failures = stage === 'unit' ? 1 : 0;
      const failed = failures ? [{ file: process.cwd() + '/dist/test/unit/a.test.js', title: 'a fails', message: 'why' }] : [];
      const seconds = { [process.cwd() + '/dist/test/' + stage + '/a.test.js']: 1.23 };
      writeFileSync(file, JSON.stringify({ passes: 3, failures, pending: 2, duration: 10, failed, seconds }));
      process.exitCode = failures;`;
    this.write(
      'bin/npm',
      `#!/bin/sh
echo "npm $*" >> log
${first}
mkdir -p node_modules/typescript/bin node_modules/mocha/bin
printf '{"type":"commonjs"}' | tee node_modules/typescript/package.json > node_modules/mocha/package.json
cat > node_modules/typescript/bin/tsc <<'END'
${compiler}
END
cat > node_modules/mocha/bin/mocha.js <<'END'
${mocha}
END
`,
    );
    chmodSync(join(this.folder, 'bin/npm'), 0o755);
  }

  /** What ran, in order: `npm`, `tsc`, `mocha STAGE`. */
  log(): string[] {
    const file = join(this.folder, 'log');
    if (!existsSync(file)) return [];
    return readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => (line.startsWith('mocha') ? line : line.split(' ')[0]!));
  }

  start(argv: readonly string[], options: { readonly uid?: number; readonly path?: string } = {}) {
    const { uid } = options;
    const child = spawn(argv[0]!, argv.slice(1), {
      cwd: this.folder,
      env: { ...process.env, PATH: options.path ?? `${join(this.folder, 'bin')}:${process.env.PATH}`, CI: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    this.children.add(child);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    const done = new Promise<Outcome>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        this.children.delete(child);
        resolve({ code, signal, stdout, stderr });
      });
    });
    return { child, done };
  }

  run(argv: readonly string[], options: { readonly uid?: number; readonly path?: string } = {}): Promise<Outcome> {
    return this.start(argv, options).done;
  }

  remove(): void {
    for (const child of this.children) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
