import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { repositoryRoot } from '../../test/support/repository.js';

/** A C program of bench/floor, which does no more than it must and measures itself. */
export class FloorProgram {
  private constructor(
    private readonly child: ReturnType<typeof spawn>,
    private readonly lines: AsyncIterator<string>,
  ) {}

  /** Compiled into `directory` and started. A string: why it cannot be. */
  static start(name: string, directory: string, argv: readonly string[]): FloorProgram | string {
    const program = join(directory, name);
    const source = join(repositoryRoot, 'bench/floor', `${name}.c`);
    const { error, status, stderr } = spawnSync('cc', ['-O2', '-o', program, source], { encoding: 'utf8' });
    if (error) return 'no C compiler (cc)';
    if (status !== 0) throw new Error(stderr);
    const child = spawn(program, argv, { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
    return new FloorProgram(child, lines);
  }

  /** Milliseconds of one run. */
  async run(): Promise<number> {
    this.child.stdin?.write('\n');
    const { value, done } = await this.lines.next();
    if (done) throw new Error('the C program ended');
    return Number(value) / 1e6;
  }

  stop(): void {
    this.child.stdin?.end();
  }
}
