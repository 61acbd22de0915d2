import type { CommandContext } from '../context.js';
import { runSession } from '../session/session.js';
import { execRequest, planStreams, type StreamOptions } from '../session/streams.js';

export interface ExecOptions extends StreamOptions {
  readonly env: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly container?: string;
}

export async function execute(
  context: CommandContext,
  podId: string,
  argv: readonly string[],
  options: ExecOptions,
): Promise<number> {
  const streams = planStreams(context.io, options);
  const request = execRequest(context.io, argv, streams, options);
  return context.withHyperplug(async (hyperplug) => {
    const pod = await hyperplug.openPod(podId, context.call);
    return runSession(context, pod, {
      request,
      forwardStdin: streams.forwardStdin,
      timeoutMs: undefined,
      podStays: true,
    });
  });
}
