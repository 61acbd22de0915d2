import type { PodRoute, RouteInput } from '../../core/pod/types.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { table } from '../text.js';
import { withPod } from '../with-pod.js';

export interface RouteOptions {
  readonly gateway?: string;
  readonly nic?: string;
  readonly metric?: number;
}

const HEADER = ['DESTINATION', 'GATEWAY', 'NIC', 'DEVICE', 'METRIC', 'SET BY', 'STATE'];

/** All or none. */
export function add(
  context: CommandContext,
  podId: string,
  destinations: readonly string[],
  options: RouteOptions,
): Promise<number> {
  return withPod(context, podId, async (pod) => {
    await pod.routes.add(inputs(destinations, options), context.call);
    return EXIT.ok;
  });
}

export function rm(
  context: CommandContext,
  podId: string,
  destinations: readonly string[],
  options: RouteOptions,
): Promise<number> {
  return withPod(context, podId, async (pod) => {
    await pod.routes.remove(inputs(destinations, options), context.call);
    return EXIT.ok;
  });
}

/** Those of the guest, and those that were set and that it lacks. */
export function ls(context: CommandContext, podId: string): Promise<number> {
  return withPod(context, podId, async (pod) => {
    const routes = await pod.routes.list(context.call);
    await context.print(routes, () => table(HEADER, routes.map(row)));
    return EXIT.ok;
  });
}

function inputs(destinations: readonly string[], { gateway, nic, metric }: RouteOptions): RouteInput[] {
  return destinations.map((destination) => ({
    destination,
    ...(gateway === undefined ? {} : { gateway }),
    ...(nic === undefined ? {} : { nic }),
    ...(metric === undefined ? {} : { metric }),
  }));
}

function row({ destination, gateway, nic, device, metric, origin, missing }: PodRoute): string[] {
  const state = missing ? 'missing' : 'there';
  return [destination, gateway ?? '-', nic ?? '-', device ?? '-', `${metric ?? '-'}`, origin, state];
}
