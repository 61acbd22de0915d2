import { runCli } from './cli.js';
import type { CliDeps } from './deps.js';
import { EXIT, presentError } from './errors.js';
import { painter } from './text.js';

/** Runs the command line as this process and ends it with the exit code. */
export async function runMain(argv: readonly string[], deps: CliDeps): Promise<never> {
  // What nobody caught is a defect: told in one line, and the terminal is given back by Node's exit.
  process.on('uncaughtException', (error) => {
    const debug = argv.includes('debug') || argv.includes('trace');
    deps.io.stderr.print(presentError(error, { json: false, debug, paint: painter(false, {}) }));
    process.exit(EXIT.failed);
  });
  let exitCode = await runCli(argv, deps);
  try {
    await deps.leave();
  } catch (error) {
    deps.io.stderr.print(presentError(error, { json: false, debug: false, paint: painter(false, {}) }));
    if (exitCode === EXIT.ok) exitCode = EXIT.failed;
  }
  // All output has been handed to the kernel; a standard input that is still open must not keep us.
  process.exit(exitCode);
}
