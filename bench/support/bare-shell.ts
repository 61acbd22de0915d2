import type { Readable, Writable } from 'node:stream';
import { timed } from '../harness/time.js';
import { drain, pour, throughput } from './streams.js';

/** What a shell in the guest does, line by line, with its end of a channel as its input and output. */
export const SHELL_LOOP = [
  'while read -r what n; do case $what in',
  'run) /bin/busybox true; echo;;',
  'out) head -c $n /dev/zero;;',
  'in) head -c $n >/dev/null; echo;;',
  'esac; done',
].join(' ');

/** A guest without an agent: a channel, and a shell at the other end. */
export class BareShell {
  constructor(
    private readonly from: Readable,
    private readonly to: Writable,
    readonly stop: () => void,
  ) {}

  /** Milliseconds until the program has run. */
  run(): Promise<number> {
    return timed(() => this.#asked('run\n', 1));
  }

  /** MiB/s, guest to host. */
  out(bytes: number): Promise<number> {
    return throughput(bytes, () => this.#asked(`out ${bytes}\n`, bytes));
  }

  /** MiB/s, host to guest. */
  in(bytes: number): Promise<number> {
    return throughput(bytes, async () => {
      const answered = drain(this.from, 1);
      this.to.write(`in ${bytes}\n`);
      await pour(this.to, bytes);
      await answered;
    });
  }

  async #asked(line: string, bytes: number): Promise<void> {
    const answered = drain(this.from, bytes);
    this.to.write(line);
    await answered;
  }
}
