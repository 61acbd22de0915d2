import { type Beginners, beginHeadStart } from './host/head-start.js';
import { memoPlace } from './host/head-start-memo.js';

/** What a launch follows from besides the command line: who, where, and what the environment says of configuration. */
const VARIABLE = /^(HYPERPLUG_|XDG_|HOME$|PATH$)/;

/** What the launcher tells (launcher/ahead.c). */
const GIVEN = 'HYPERPLUG_AHEAD';

const BEGINNERS: Beginners = {
  qemu: async () => (await import('./plugins/qemu/head-start.js')).beginner,
  uml: async () => (await import('./plugins/uml/head-start.js')).beginner,
};

/**
 * Called before the program is loaded: `run` begins with the hypervisor where an earlier one like it has, unless the launcher
 * has done so before this was a program.
 * @param directory the program's own: whoever may change what is remembered there may change the program.
 */
export async function head(argv: readonly string[], directory: string): Promise<void> {
  const given = process.env[GIVEN];
  delete process.env[GIVEN];
  const subject = argv[0] === 'run' ? subjectOf(argv) : undefined;
  if (subject !== undefined) await beginHeadStart(memoPlace(directory, subject), BEGINNERS, given);
}

/** Of all that a command says but what runs in the pod; launcher/memo.c has the same bytes. undefined: the working directory has gone. */
function subjectOf(argv: readonly string[]): Buffer | undefined {
  const cwd = workingDirectory();
  if (cwd === undefined) return undefined;
  const end = argv.indexOf('--');
  const env = Object.entries(process.env)
    .filter(([name]) => VARIABLE.test(name))
    .map(([name, value]) => Buffer.from(`${name}=${value}\0`))
    .sort(Buffer.compare);
  const said = [...(end < 0 ? argv : argv.slice(0, end)), '', process.getuid?.(), cwd];
  return Buffer.concat([...said.map((word) => Buffer.from(`${word}\0`)), ...env]);
}

function workingDirectory(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}
