import { join } from 'node:path';
import type { ProgressSink } from '../../core/progress.js';
import { type CommandResult, runCommand } from '../command.js';
import type { ToolProvider } from '../tools.js';

export interface CompileOptions {
  readonly signal: AbortSignal;
  readonly cwd?: string;
  /** Default: 120 000. */
  readonly timeoutMs?: number;
}

/** gcc, installed or unpacked, behind one call. */
export interface Compiler {
  /** For people: the program and where it came from. */
  readonly description: string;
  /** gcc and what it is always told, for programs that run it themselves, with this environment. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Runs gcc with these arguments. @throws HOST_COMMAND_FAILED with what gcc said. */
  compile(args: readonly string[], options: CompileOptions): Promise<CommandResult>;
}

/**
 * An unpacked gcc finds its own parts beside itself; as and ld it is told (-B), and libc's headers and start files
 * (--sysroot).
 * @throws HOST_TOOL_MISSING
 */
export async function locateCompiler(
  tools: ToolProvider,
  options: { readonly signal: AbortSignal; readonly progress: ProgressSink },
): Promise<Compiler> {
  const gcc = await tools.locate('gcc', options);
  const root = gcc.root;
  const prefix = root === undefined ? [] : ['-B', join(root, 'usr/bin/'), `--sysroot=${root}`];
  const env: Readonly<Record<string, string>> =
    root === undefined
      ? gcc.env
      : { ...gcc.env, PATH: `${join(root, 'usr/bin')}:${process.env.PATH ?? '/usr/bin:/bin'}` };
  return {
    description: root === undefined ? gcc.path : `${gcc.path} (unpacked)`,
    command: [gcc.path, ...prefix],
    env,
    compile: (args, { signal, cwd, timeoutMs = 120_000 }) =>
      runCommand([gcc.path, ...prefix, ...args], { signal, timeoutMs, env, ...(cwd === undefined ? {} : { cwd }) }),
  };
}
