import { constants } from 'node:os';
import { CommanderError } from 'commander';
import { CommandContext } from './context.js';
import type { CliDeps } from './deps.js';
import { EXIT, exitCodeOf, usageError } from './errors.js';
import { signalNumber } from './interrupts.js';
import { buildProgram, type Invoke } from './program.js';

const GIVEN_UP_FLUSH_MS = 1_000;

/** Runs one command line (without the program's name) and returns the exit code, when all output has been taken. */
export async function runCli(argv: readonly string[], deps: CliDeps): Promise<number> {
  let exitCode: number = EXIT.ok;
  let context: CommandContext | undefined;
  const invoke: Invoke = async (common, body) => {
    context = new CommandContext(deps, common);
    exitCode = await body(context);
  };
  const program = buildProgram(deps, invoke, argv);
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    const known = fromCommander(error);
    // Without a command of its own the arguments say how errors are wanted.
    const teller = context ?? new CommandContext(deps, { json: beforeDashes(argv).includes('--json') });
    if (known !== undefined) teller.report(known);
    exitCode = known === undefined ? helpExit(error) : (interruptedBy(context) ?? exitCodeOf(known));
    if (context === undefined) teller.interrupts.dispose();
  }
  context?.progress.stop();
  // Who ended it does not wait for a reader that does not read.
  const limitMs = exitCode === EXIT.timeout || interruptedBy(context) !== undefined ? GIVEN_UP_FLUSH_MS : undefined;
  await deps.io.stdout.flush(limitMs);
  const failure = deps.io.stdout.failure;
  if (failure && exitCode === EXIT.ok) {
    context?.report(failure);
    exitCode = EXIT.failed;
  }
  await deps.io.stderr.flush(limitMs);
  context?.interrupts.dispose();
  // As a program that nobody reads any more ends by SIGPIPE.
  return deps.io.stdout.isGone && exitCode === EXIT.ok ? 128 + constants.signals.SIGPIPE : exitCode;
}

function beforeDashes(argv: readonly string[]): readonly string[] {
  const at = argv.indexOf('--');
  return at === -1 ? argv : argv.slice(0, at);
}

function interruptedBy(context: CommandContext | undefined): number | undefined {
  const signal = context?.interrupts.received;
  return signal === undefined ? undefined : 128 + signalNumber(signal);
}

/** Its usage errors as ours; undefined: help or version was asked for and printed. */
function fromCommander(error: unknown): unknown {
  if (!(error instanceof CommanderError)) return error;
  if (/^commander\.(help|helpDisplayed|version)$/.test(error.code)) return undefined;
  const [first = '', ...more] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = more.join(' ').replace(/^\((.*)\)$/, '$1');
  return usageError(first, suggestion || 'hyperplug --help');
}

/** Help that was asked for is a success; help instead of a missing command is not. */
function helpExit(error: unknown): number {
  return error instanceof CommanderError && error.exitCode === 0 ? EXIT.ok : EXIT.usage;
}
