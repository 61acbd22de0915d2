import { type GcFinding, isClean } from '../../core/gc/types.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { table } from '../text.js';

const HEADER = ['ACTION', 'KIND', 'ID', 'POD', 'WHY'];

/** The exit code tells whether anything was in the way, or (with --dry-run) whether there is anything to do. */
export function execute(context: CommandContext, options: { readonly dryRun?: boolean }): Promise<number> {
  return context.withHyperplug(
    async (hyperplug) => {
      const dryRun = options.dryRun === true;
      const report = await hyperplug.gc({ ...context.call, dryRun });
      await context.print(report, () =>
        table(
          HEADER,
          report.findings.map((finding) => row(finding, dryRun)),
        ),
      );
      if (report.findings.some(({ action }) => action === 'failed')) return EXIT.failed;
      return dryRun && !isClean(report) ? EXIT.findings : EXIT.ok;
    },
    options.dryRun === true ? 'look' : 'use',
  );
}

function row({ action, kind, id, pod, why, error }: GcFinding, dryRun: boolean): string[] {
  const done = dryRun ? (WOULD[action] ?? action) : action;
  return [done, kind, id, pod ?? '-', error ? `${why}: ${error.message}` : why];
}

const WOULD: Readonly<Record<string, string>> = { removed: 'would remove', finished: 'would finish' };
