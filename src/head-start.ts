import { createHash } from 'node:crypto';
import { type Beginners, beginHeadStart } from './host/head-start.js';
import { memoPath } from './host/head-start-memo.js';

/** What a launch follows from besides the command line: who, where, and what the environment says of configuration. */
const VARIABLE = /^(HYPERPLUG_|XDG_|HOME$|PATH$)/;

const BEGINNERS: Beginners = {
  qemu: async (ahead, signal) => (await import('./plugins/qemu/head-start.js')).beginAhead(ahead, signal),
  uml: async (ahead, signal) => (await import('./plugins/uml/head-start.js')).beginAhead(ahead, signal),
};

/**
 * Called before the program is loaded: `run` begins with the hypervisor where an earlier one like it has.
 * @param directory the program's own: whoever may change what is remembered there may change the program.
 */
export async function head(argv: readonly string[], directory: string): Promise<void> {
  const [command] = argv;
  const digest = command === 'run' ? digestOf(argv) : undefined;
  if (digest !== undefined) await beginHeadStart(memoPath(directory, digest), BEGINNERS);
}

/** Of all that a command says but what runs in the pod. undefined: the working directory has gone. */
function digestOf(argv: readonly string[]): string | undefined {
  const cwd = workingDirectory();
  if (cwd === undefined) return undefined;
  const end = argv.indexOf('--');
  const env = Object.entries(process.env).filter(([name]) => VARIABLE.test(name));
  const subject = [end < 0 ? argv : argv.slice(0, end), process.getuid?.(), cwd, env.sort()];
  return createHash('sha256').update(JSON.stringify(subject)).digest('hex').slice(0, 16);
}

function workingDirectory(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}
