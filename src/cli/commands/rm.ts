import type { CommandContext } from '../context.js';
import { EXIT, errorObject } from '../errors.js';

/** Goes on past failures and reports each; the exit code tells whether all are gone. */
export function execute(
  context: CommandContext,
  podIds: readonly string[],
  options: { readonly force?: boolean },
): Promise<number> {
  return context.withHyperplug(async (hyperplug) => {
    const results: Record<string, unknown>[] = [];
    for (const id of new Set(podIds)) {
      if (context.interrupts.signal.aborted) throw context.interrupts.signal.reason;
      try {
        await hyperplug.removePod(id, { ...context.call, force: options.force === true });
        results.push({ id, removed: true });
        if (!context.common.json) await context.io.stdout.write(`${id}\n`);
      } catch (error) {
        results.push({ id, removed: false, error: errorObject(error, false) });
        if (!context.common.json) context.report(error);
      }
    }
    if (context.common.json) await context.print(results, () => '');
    return results.every((result) => result.removed) ? EXIT.ok : EXIT.failed;
  });
}
