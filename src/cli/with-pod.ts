import { HyperplugError } from '../core/errors.js';
import type { Hyperplug, Pod, PodStatus } from '../core/pod/types.js';
import type { CommandContext } from './context.js';

/** Takes hold of a kept pod for `body`, and lets go of it on every way out. */
export function withPod(context: CommandContext, podId: string, body: (pod: Pod) => Promise<number>): Promise<number> {
  return context.withHyperplug(async (hyperplug) => body(await hyperplug.openPod(podId, context.call)));
}

/** What is recorded of a pod, whoever holds it. @throws POD_NOT_FOUND */
export async function podStatus(context: CommandContext, hyperplug: Hyperplug, podId: string): Promise<PodStatus> {
  const pod = (await hyperplug.listPods(context.call)).find(({ id }) => id === podId);
  if (pod) return pod;
  throw new HyperplugError('POD_NOT_FOUND', `no pod of the id ${JSON.stringify(podId)}`, { details: { podId } });
}
