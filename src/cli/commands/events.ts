import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { eventText } from '../pod-text.js';
import { visible } from '../text.js';

export interface EventsOptions {
  readonly follow?: boolean;
  readonly since?: number;
}

/** One line an event; with --json one object a line. Without --follow those that are kept. */
export function execute(context: CommandContext, podIds: readonly string[], options: EventsOptions): Promise<number> {
  return context.withHyperplug(async ({ pods }) => {
    const { stdout } = context.io;
    const ended = new AbortController();
    void stdout.failed.then(() => ended.abort());
    const follow = options.follow === true;
    const since = options.since ?? (follow ? undefined : 0);
    const events = pods.events({
      signal: AbortSignal.any([context.interrupts.signal, ended.signal]),
      follow,
      ...(podIds.length > 0 ? { pods: podIds } : {}),
      ...(since === undefined ? {} : { since }),
    });
    context.progress.stop();
    try {
      for await (const event of events) {
        const line = context.common.json ? JSON.stringify(event) : visible(eventText(event));
        if (!(await stdout.write(`${line}\n`))) break;
      }
    } catch (error) {
      if (!ended.signal.aborted) throw error;
    }
    return EXIT.ok;
  });
}
