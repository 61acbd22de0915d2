import { isLossy } from '../../core/pod/files/tally.js';
import type { CopyOptions, CopyReport, Pod } from '../../core/pod/types.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { parseCopy } from '../parse/copy.js';
import { withPod } from '../with-pod.js';

export interface CpOptions {
  readonly container?: string;
  readonly followLink?: boolean;
  /** Bytes. */
  readonly maxSize?: number;
}

export async function execute(
  context: CommandContext,
  source: string,
  destination: string,
  options: CpOptions,
): Promise<number> {
  const copy = parseCopy(source, destination);
  const { container, followLink = false, maxSize } = options;
  const how: CopyOptions = { ...context.call, followLink, ...(container === undefined ? {} : { container }) };
  return withPod(context, copy.pod.pod, async (pod) => {
    const { path } = copy.pod;
    if (copy.other.kind === 'stream') {
      if (copy.way === 'in') await pod.files.putArchive(path, context.io.stdin() as AsyncIterable<Buffer>, how);
      else await toOutput(context, pod, path, how);
      return EXIT.ok;
    }
    const limit = maxSize === undefined ? {} : { maxBytes: maxSize };
    const report =
      copy.way === 'in'
        ? await pod.files.copyIn(copy.other.path, path, how)
        : await pod.files.copyOut(path, copy.other.path, { ...how, ...limit });
    await tell(context, report);
    return EXIT.ok;
  });
}

/** Nobody reads it any more: the guest's tar is ended. */
async function toOutput(context: CommandContext, pod: Pod, path: string, options: CopyOptions): Promise<void> {
  for await (const chunk of pod.files.getArchive(path, options)) {
    context.progress.stop();
    if (!(await context.io.stdout.write(chunk))) break;
  }
}

const LOSSY = 'a name that is not UTF-8';
const STRANGE = 'neither file, directory nor a link that can be copied';

/** Silence is success, as with cp(1). */
async function tell(context: CommandContext, report: CopyReport): Promise<void> {
  if (context.common.json) await context.print(report, () => '');
  else for (const path of report.skipped) context.say(`${path}: ${isLossy(path) ? LOSSY : STRANGE}; left out`);
}
