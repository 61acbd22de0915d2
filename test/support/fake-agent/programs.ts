/** What a program of the fake guest sees of its process. */
export interface ProgramContext {
  readonly argv: readonly string[];
  readonly workingDirectory: string;
  readonly env: Readonly<Record<string, string>>;
  /** Resolves when the bytes have been sent, which waits for credit. */
  stdout(bytes: Buffer): Promise<void>;
  stderr(bytes: Buffer): Promise<void>;
  /** The next bytes of stdin; undefined at its end. What was read is credited. */
  read(): Promise<Buffer | undefined>;
  /** Resolves with the signal that ended the process. */
  readonly killed: Promise<number>;
  readonly size: () => { rows: number; columns: number } | undefined;
}

/** Resolves with the exit status. */
export type Program = (context: ProgramContext) => Promise<number>;

const CHUNK = Buffer.alloc(64 * 1024, 'y\n');

export const PROGRAMS: Readonly<Record<string, Program>> = {
  async true() {
    return 0;
  },
  async exit({ argv }) {
    return Number(argv[1] ?? 0);
  },
  async echo({ argv, stdout }) {
    await stdout(Buffer.from(`${argv.slice(1).join(' ')}\n`));
    return 0;
  },
  async 'echo-err'({ argv, stderr }) {
    await stderr(Buffer.from(`${argv.slice(1).join(' ')}\n`));
    return 0;
  },
  async print({ argv, stdout, stderr }) {
    await stdout(Buffer.from(argv[1]!));
    await stderr(Buffer.from(argv[2]!));
    return 0;
  },
  async printenv({ argv, env, stdout }) {
    await stdout(Buffer.from(`${env[argv[1]!]}\n`));
    return 0;
  },
  async pwd({ workingDirectory, stdout }) {
    await stdout(Buffer.from(`${workingDirectory}\n`));
    return 0;
  },
  async env({ env, stdout }) {
    for (const [key, value] of Object.entries(env)) await stdout(Buffer.from(`${key}=${value}\n`));
    return 0;
  },
  async cat({ read, stdout }) {
    for (let bytes = await read(); bytes; bytes = await read()) await stdout(bytes);
    return 0;
  },
  async count({ read, stdout }) {
    let bytes = 0;
    for (let piece = await read(); piece; piece = await read()) bytes += piece.length;
    await stdout(Buffer.from(`${bytes}\n`));
    return 0;
  },
  /** `zeros N`: N bytes. */
  async zeros({ argv, stdout }) {
    for (let left = Number(argv[1]); left > 0; left -= CHUNK.length) {
      await stdout(CHUNK.subarray(0, Math.min(left, CHUNK.length)));
    }
    return 0;
  },
  async yes({ stdout, killed }) {
    let ended = false;
    void killed.then(() => {
      ended = true;
    });
    while (!ended) await Promise.race([stdout(CHUNK), killed]);
    return 0;
  },
  /** Until it is killed. */
  async sleep({ killed }) {
    await killed;
    return 0;
  },
  async size({ argv, read, size, stdout }) {
    if (argv[1] === 'after-line') await read();
    const now = size();
    await stdout(Buffer.from(now ? `${now.rows} ${now.columns}\n` : 'none\n'));
    return 0;
  },
};
