import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Program, ProgramIo } from './types.js';

async function write(stream: ProgramIo['stdout'], data: string | Uint8Array): Promise<void> {
  if (!stream.write(data)) await once(stream, 'drain');
}

/** What every FakeGuest can run. */
export const FAKE_PROGRAMS: Readonly<Record<string, Program>> = {
  true: () => 0,
  false: () => 1,
  /** `exit N` */
  exit: ({ argv }) => Number(argv[1] ?? 0),
  /** `echo WORDS…` */
  echo: async ({ argv, stdout }) => {
    await write(stdout, `${argv.slice(1).join(' ')}\n`);
    return 0;
  },
  cat: async ({ stdin, stdout }) => {
    for await (const chunk of stdin) await write(stdout, chunk as Buffer);
    return 0;
  },
  /** `print OUT ERR`: one to each stream. */
  print: async ({ argv, stdout, stderr }) => {
    await write(stdout, argv[1] ?? '');
    await write(stderr, argv[2] ?? '');
    return 0;
  },
  /** `flood BYTES`: as many zeros to stdout. */
  flood: async ({ argv, stdout }) => {
    const block = Buffer.alloc(32 << 10);
    for (let left = Number(argv[1]); left > 0; left -= block.length) {
      await write(stdout, block.subarray(0, Math.min(left, block.length)));
    }
    return 0;
  },
  /** `sleep SECONDS` */
  sleep: async ({ argv, killed }) => {
    await delay(Number(argv[1]) * 1000, undefined, { signal: killed, ref: false });
    return 0;
  },
  /** `printenv NAME` */
  printenv: async ({ argv, env, stdout }) => {
    const value = env[argv[1] ?? ''];
    if (value === undefined) return 1;
    await write(stdout, `${value}\n`);
    return 0;
  },
  pwd: async ({ workingDirectory, stdout }) => {
    await write(stdout, `${workingDirectory}\n`);
    return 0;
  },
  /** `size`: rows and columns of the terminal, as stty prints them. */
  size: async ({ terminal, stdout }) => {
    if (!terminal) return 1;
    await write(stdout, `${terminal.rows} ${terminal.columns}\n`);
    return 0;
  },
  /** The same, once a line has come. */
  'size-after-line': async (io) => {
    for await (const chunk of io.stdin) if (String(chunk).includes('\n')) break;
    await write(io.stdout, `${io.terminal?.rows} ${io.terminal?.columns}\n`);
    return 0;
  },
};
