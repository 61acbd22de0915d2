import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { HyperplugError } from '../../src/core/errors.js';
import type { ProgressSink } from '../../src/core/progress.js';
import { runCommand } from '../../src/host/command.js';

const CONFIGURE_TIMEOUT_MS = 10 * 60_000;
/** Twenty-five minutes of one core where it was measured; slow machines exist. */
const COMPILE_TIMEOUT_MS = 4 * 60 * 60_000;
/** Lines that make prints on the way to this kernel; for the display alone. */
const EXPECTED_STEPS = 1950;

export interface KernelMake {
  /** `make` and what every call of it is given. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where make puts all it makes. */
  readonly objects: string;
}

interface Call {
  readonly signal: AbortSignal;
  readonly progress: ProgressSink;
}

/** @throws IMAGE_BUILD_FAILED the sources do not know an option, or it needs another that is not set. */
export async function configureKernel(make: KernelMake, fragmentPath: string, { signal }: Call): Promise<void> {
  await runCommand([...make.argv, '-s', 'allnoconfig'], {
    signal,
    timeoutMs: CONFIGURE_TIMEOUT_MS,
    env: { ...make.env, KCONFIG_ALLCONFIG: fragmentPath },
  });
  const [fragment, result] = await Promise.all(
    [fragmentPath, join(make.objects, '.config')].map((path) => readFile(path, 'utf8')),
  );
  const missing = missingOptions(fragment as string, result as string);
  if (missing.length > 0) {
    throw new HyperplugError('IMAGE_BUILD_FAILED', `the kernel's sources do not take ${missing.join(', ')}`);
  }
}

/** Lines `CONFIG_X=y` of a fragment that a configuration does not have: make drops what it cannot set without a word. */
export function missingOptions(fragment: string, config: string): string[] {
  const there = new Set(config.split('\n'));
  return fragment.split('\n').filter((line) => /^CONFIG_\w+=(?!n$)/.test(line) && !there.has(line));
}

/** @throws IMAGE_BUILD_FAILED with what the compiler said; ABORTED, TIMEOUT. */
export async function compileKernel(make: KernelMake, { signal, progress }: Call): Promise<void> {
  const task = progress.begin('compiling the kernel');
  let steps = 0;
  try {
    await runCommand([...make.argv, `-j${availableParallelism()}`, 'vmlinux'], {
      signal,
      timeoutMs: COMPILE_TIMEOUT_MS,
      env: make.env,
      onStdoutLine: (line) => {
        if (!/^ {2}[A-Z0-9_]+ /.test(line)) return;
        steps += 1;
        task.update(Math.min(steps, EXPECTED_STEPS), EXPECTED_STEPS, 'steps');
      },
    });
    task.done();
  } catch (error) {
    task.fail(error instanceof Error ? error.message : String(error));
    throw error;
  }
}

/** Without symbols: half of it. */
export async function stripKernel(make: KernelMake, to: string, { signal }: Call): Promise<void> {
  await runCommand(['objcopy', '--strip-all', '--remove-section=.comment', join(make.objects, 'vmlinux'), to], {
    signal,
    timeoutMs: CONFIGURE_TIMEOUT_MS,
    env: make.env,
  });
}
