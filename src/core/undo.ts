import { type CallOptions, withDeadline } from './calls.js';
import type { ErrorCode } from './error-codes.js';
import { combineErrors } from './errors.js';
import { loopShare } from './loop-share.js';

interface Step {
  readonly what: string;
  readonly undo: (options: CallOptions) => Promise<unknown>;
  readonly whenClean: boolean;
}

/**
 * The steps of a call that is all or nothing. Each is pushed before it runs, so its undo must bear that the step was never
 * or only half done. Undoing goes in reverse, carries on past failures and does not listen to the caller's signal: that one
 * may be the very reason.
 */
export class UndoStack {
  readonly #steps: Step[] = [];

  constructor(private readonly stepTimeoutMs = 30_000) {}

  push(what: string, undo: (options: CallOptions) => Promise<unknown>): void {
    this.#steps.push({ what, undo, whenClean: false });
  }

  /** As push(), but skipped once an undo has failed: what tells of leftovers must outlive them. */
  pushWhenClean(what: string, undo: (options: CallOptions) => Promise<unknown>): void {
    this.#steps.push({ what, undo, whenClean: true });
  }

  /** The call succeeded: nothing will be undone. */
  clear(): void {
    this.#steps.length = 0;
  }

  /** Undoes all and returns what failed; the stack is empty afterwards. */
  async unwind(): Promise<unknown[]> {
    const errors: unknown[] = [];
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      const { what, undo, whenClean } = step;
      if (whenClean && errors.length > 0) continue;
      try {
        await loopShare.take();
        await withDeadline(`undo: ${what}`, this.stepTimeoutMs, undefined, undo);
      } catch (error) {
        errors.push(error);
      }
    }
    return errors;
  }

  /** Undoes all after `cause` and returns what to throw: the cause, or one error of `code` that reports every failure. */
  async fail(code: ErrorCode, what: string, cause: unknown): Promise<unknown> {
    const errors = await this.unwind();
    return errors.length === 0 ? cause : combineErrors(code, what, [cause, ...errors]);
  }
}

/**
 * A stack whose steps are undone where it stands in `outer`, whatever is pushed there before them; and only if nothing has
 * failed by then.
 */
export function undoTogether(outer: UndoStack, what: string): UndoStack {
  const inner = new UndoStack();
  outer.pushWhenClean(what, async () => {
    const errors = await inner.unwind();
    if (errors.length > 0) throw combineErrors('POD_CLEANUP_FAILED', what, errors);
  });
  return inner;
}
