import type { PodRoute, RouteInput } from '../../core/pod/types.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { table } from '../text.js';
import { podStatus, withPod } from '../with-pod.js';

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
    await pod.addRoutes(inputs(destinations, options), context.call);
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
    await pod.removeRoutes(inputs(destinations, options), context.call);
    return EXIT.ok;
  });
}

/** Those of the guest, and with them those that are recorded and that it does not have. */
export function ls(context: CommandContext, podId: string): Promise<number> {
  return withPod(context, podId, async (pod, hyperplug) => {
    const [told, { routes: recorded }] = [await pod.routes(context.call), await podStatus(context, hyperplug, podId)];
    const missing = recorded.filter((route) => !told.some((one) => one.origin === 'pod' && isSame(one, route)));
    const routes = [
      ...told.map((route) => ({ ...route, present: true })),
      ...missing.map((route) => ({ ...route, present: false })),
    ];
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

function isSame(told: PodRoute, recorded: PodRoute): boolean {
  return told.destination === recorded.destination && told.gateway === recorded.gateway;
}

function row(route: PodRoute & { readonly present: boolean }): string[] {
  const { destination, gateway = '-', nic = '-', device = '-', metric = '-', origin, present } = route;
  return [destination, gateway, nic, device, `${metric}`, origin, present ? 'there' : 'missing'];
}
