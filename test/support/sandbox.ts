import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository = fileURLToPath(new URL('../../../', import.meta.url));
export const programs = join(repository, 'dist/bundle/cli');
/** The command line. */
export const program = join(programs, 'main.js');
/** Kept there by the first command that could have been begun by it. */
export const launcher = join(programs, 'launcher');

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: Uint8Array | string;
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
  /** What it goes through: what `hyperplug` finds there. Default: none. */
  readonly launcher?: boolean;
}

/** One state, runtime and configuration of its own for a test, and the command line run on it. */
export class Sandbox {
  readonly #children = new Set<ChildProcess>();

  private constructor(readonly root: string) {}

  static async make(config: Record<string, unknown> = {}): Promise<Sandbox> {
    const sandbox = new Sandbox(await mkdtemp(join(tmpdir(), 'hp-')));
    // QEMU may run as a user of its own; each directory below is closed by itself.
    await chmod(sandbox.root, 0o711);
    await sandbox.configure(config);
    return sandbox;
  }

  get configPath(): string {
    return join(this.root, 'hyperplug.json');
  }

  async configure(config: Record<string, unknown>): Promise<void> {
    const paths = { stateDirectory: join(this.root, 'state'), runtimeDirectory: join(this.root, 'run') };
    await writeFile(this.configPath, JSON.stringify({ paths, ...config }));
  }

  start(args: readonly string[], options: RunOptions = {}): ChildProcess {
    const argv = [process.execPath, program, ...args];
    const [file, ...words] = (options.launcher ? [launcher, 'ahead', programs, ...argv] : argv) as [
      string,
      ...string[],
    ];
    const child = spawn(file, words, {
      cwd: this.root,
      env: { ...process.env, HYPERPLUG_CONFIG: this.configPath, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  async run(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return finish(this.start(args, options), options);
  }

  /** What is left: processes that name this sandbox, and files that outlive a pod. */
  async leftovers(): Promise<string[]> {
    const left = processesNaming(this.root).map(({ pid, command }) => `process ${pid}: ${command}`);
    for (const directory of ['run/pods', 'run/locks', 'state/pods']) {
      const path = join(this.root, directory);
      if (!existsSync(path)) continue;
      // The lock of the networks is not a pod's: its file stays, like the directories.
      const names = (await readdir(path)).filter((name) => name !== 'network.lock');
      left.push(...names.map((name) => join(path, name)));
    }
    return left;
  }

  /** What the program remembers of commands on this sandbox. */
  memos(): readonly string[] {
    return readdirSync(programs)
      .filter((name) => /^ahead-\w+$/.test(name))
      .map((name) => join(programs, name))
      .filter((path) => readFileSync(path, 'utf8').includes(`${this.root}/`));
  }

  async dispose(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const path of this.memos()) await rm(path, { force: true });
    for (const { pid } of processesNaming(this.root)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // With the first of a namespace all others of it have ended.
      }
    }
    await rm(this.root, { recursive: true, force: true });
  }
}

export async function finish(child: ChildProcess, options: RunOptions = {}): Promise<Finished> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 120_000);
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  return { code, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
}

/** Processes other than this one whose command line holds `text`. */
export function processesNaming(text: string): { pid: number; command: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ');
      return command.includes(text) ? [{ pid: Number(name), command }] : [];
    } catch {
      return [];
    }
  });
}
