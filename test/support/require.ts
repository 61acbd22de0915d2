import type { Context } from 'mocha';

/**
 * For tests that need what a machine may lack. Skips visibly, with the reason in the title; with CI=true it fails
 * instead, so that a missing tool cannot silently empty the suite.
 */
export function requireOrSkip(context: Context, ok: boolean, reason: string): void {
  if (ok) return;
  if (process.env.CI === 'true') throw new Error(`this test cannot run here: ${reason}`);
  const runnable = context.test ?? context.currentTest;
  if (runnable) runnable.title += ` (skipped: ${reason})`;
  context.skip();
}
