import type { PodFilter } from '../../core/pod/pods-api.js';
import type { PodState } from '../../core/pod/types.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { parseLabels } from '../parse/env.js';
import { POD_HEADER, podRow } from '../pod-text.js';
import { table } from '../text.js';

export interface PsOptions {
  readonly all?: boolean;
  readonly label: readonly string[];
}

/** Those in which a VM runs, or a process is at it. */
const LIVING: readonly PodState[] = ['creating', 'starting', 'running', 'paused', 'stopping', 'removing'];

export function execute(context: CommandContext, options: PsOptions): Promise<number> {
  const filter: PodFilter = {
    ...(options.all ? {} : { states: LIVING }),
    ...(options.label.length > 0 ? { labels: parseLabels(options.label) } : {}),
  };
  return context.withHyperplug(async ({ pods }) => {
    const found = await pods.list({ ...context.call, filter });
    await context.print(found, () => table(POD_HEADER, found.map(podRow)));
    return EXIT.ok;
  });
}
