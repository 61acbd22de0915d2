import { posix } from 'node:path';
import { HyperplugError, hasCode } from '../../errors.js';
import { isExecError } from '../exec/error.js';
import type { ExecOptions, PodProcess } from '../exec/types.js';
import type { FilePlace } from './types.js';

/** Of what a program in the guest may say, on standard error. */
const MAX_WORDS_BYTES = 64 * 1024;

export type Exec = <const O extends ExecOptions>(argv: readonly string[], options: O) => PodProcess<O>;

/** Programs of the guest that copying needs: tar, and test(1) and readlink(1) where there are such. */
export class GuestTar {
  constructor(
    private readonly exec: Exec,
    private readonly place: FilePlace,
  ) {}

  async isDirectory(path: string): Promise<boolean> {
    try {
      const { exitCode } = await this.exec(['test', '-d', path], { ...this.#options, reject: false });
      return exitCode === 0;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  /** Where a symbolic link leads in the end. @throws POD_COPY_FAILED */
  async resolve(path: string): Promise<string> {
    try {
      return (await this.exec(['readlink', '-f', path], this.#options)).stdout;
    } catch (error) {
      throw explained(error, path);
    }
  }

  /** @throws POD_COPY_FAILED; what reading the archive failed with. */
  async extract(directory: string, archive: AsyncIterable<Uint8Array>): Promise<void> {
    let failure: { readonly error: unknown } | undefined;
    const watched = async function* () {
      try {
        yield* archive;
      } catch (error) {
        failure = { error };
        throw error;
      }
    };
    try {
      await this.exec(['tar', '-x', '-p', '-f', '-', '-C', directory], { ...this.#options, input: watched() });
    } catch (error) {
      throw failure ? failure.error : explained(error, directory);
    }
  }

  /** `name` below `directory`, as an archive; its end is the program's. @throws POD_COPY_FAILED */
  async *create(directory: string, name: string): AsyncGenerator<Buffer, void, undefined> {
    try {
      const tar = this.exec(
        ['tar', '-c', '-f', '-', '-C', directory, name === '.' ? name : `./${name}`],
        this.#options,
      );
      yield* tar.iterable({ binary: true });
    } catch (error) {
      throw explained(error, posix.join(directory, name));
    }
  }

  get #options() {
    const { signal, timeoutMs, container } = this.place;
    return {
      maxBufferBytes: MAX_WORDS_BYTES,
      ...(signal && { signal }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      // Not the container's own: what comes in is root's, and whatever is there can be read.
      user: '0',
      ...(container !== undefined && { container }),
    };
  }
}

/** The guest has no such program. An original agent says so by the exit code alone. */
export function isMissing(error: unknown): boolean {
  if (isExecError(error)) return error.exitCode === 127;
  return hasCode(error, 'AGENT_EXEC_FAILED') && (error.details.errno === 2 || /no such file/i.test(error.message));
}

/** A program's end in its own words. */
function explained(error: unknown, path: string): unknown {
  if (!isExecError(error) || error.code !== 'POD_COMMAND_FAILED' || error.exitCode === 127) return error;
  const reason = String(error.stderr).trim() || error.message;
  const told = reason.split('\n').slice(-3).join('; ').slice(-500);
  return new HyperplugError('POD_COPY_FAILED', `${path}: ${told}`, { cause: error, details: { path, reason } });
}
