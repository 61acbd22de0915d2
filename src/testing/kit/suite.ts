import assert from 'node:assert/strict';
import type { ContractRunner } from '../runner.js';
import { type ContractTimeouts, DEFAULT_TIMEOUTS, Deadlines } from './timeouts.js';

/** What every test of a suite gets. */
export interface TestContext {
  readonly timeouts: ContractTimeouts;
  /** Options with a deadline, for one call; `callMs` unless told. */
  options(timeoutMs?: number): { readonly signal: AbortSignal };
  /** Runs when the test is over, whatever came of it; in reverse order, past failures. */
  defer(undo: () => unknown): void;
}

export interface Suite<C extends TestContext> {
  describe(name: string, body: () => void): void;
  /** A test; `unless`, where it is text, says why it cannot run here, and the test is shown as skipped. */
  check(name: string, body: (context: C) => Promise<void>, unless?: string | false): void;
}

export interface SuiteParts<C extends TestContext> {
  readonly runner: ContractRunner;
  readonly timeouts?: Partial<ContractTimeouts> | undefined;
  /** Makes a test's context. What it registers with `defer` is undone last. */
  setUp(base: TestContext): Promise<C>;
  /** What the operating system still has of this test's doings. Asked after what the test deferred has been undone. */
  leftovers(context: C): Promise<readonly string[]>;
  /** Removes what a failed test left, so that it cannot poison the next. */
  reap(context: C): Promise<void>;
}

/** Every test: context, body, undoing, leftovers, reaping. */
export function suiteOf<C extends TestContext>(parts: SuiteParts<C>): Suite<C> {
  const { runner } = parts;
  const timeouts = { ...DEFAULT_TIMEOUTS, ...parts.timeouts };
  return {
    describe: (name, body) => void runner.describe(name, body),
    check(name, body, unless) {
      if (unless) {
        const title = `${name} (skipped: ${unless})`;
        // All of mocha, node:test and vitest have it; a runner without it just does not show the test.
        const { skip } = runner.it as { skip?: (name: string, body: () => void) => unknown };
        skip?.call(runner.it, title, () => {});
        return;
      }
      runner.it(name, () => runTest(parts, timeouts, body));
    },
  };
}

async function runTest<C extends TestContext>(
  parts: SuiteParts<C>,
  timeouts: ContractTimeouts,
  body: (context: C) => Promise<void>,
): Promise<void> {
  const deadlines = new Deadlines(timeouts);
  const undos: (() => unknown)[] = [];
  const errors: unknown[] = [];
  const attempt = async (step: () => unknown) => {
    try {
      await step();
    } catch (error) {
      errors.push(error);
    }
  };
  const undoDownTo = async (depth: number) => {
    for (let undo = undos.length > depth ? undos.pop() : undefined; undo; ) {
      await attempt(undo);
      undo = undos.length > depth ? undos.pop() : undefined;
    }
  };
  try {
    const context = await parts.setUp({
      timeouts,
      options: (timeoutMs) => deadlines.call(timeoutMs),
      defer: (undo) => void undos.push(undo),
    });
    const depth = undos.length;
    await attempt(() => body(context));
    await undoDownTo(depth);
    await attempt(async () => {
      const left = await parts.leftovers(context);
      assert.deepEqual([...left], [], 'left behind (asked of the operating system)');
    });
    await attempt(() => parts.reap(context));
  } catch (error) {
    errors.push(error);
  }
  await undoDownTo(0);
  deadlines.clear();
  if (errors.length === 1) throw errors[0];
  // The first is what the test is about; what followed from it is told as well.
  const words = errors.map((error) => (error instanceof Error ? error.message : String(error)));
  if (errors.length > 1) throw new AggregateError(errors, words.join('; then '), { cause: errors[0] });
}

/** The first reason that is true of why a test cannot run; each is `[cannot, why]`. */
export function firstReason(...reasons: readonly (readonly [boolean, string])[]): string | false {
  return reasons.find(([cannot]) => cannot)?.[1] ?? false;
}
