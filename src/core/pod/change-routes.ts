import { z } from 'zod';
import { type CallOptions, withDeadline } from '../calls.js';
import { HyperplugError, hasCode } from '../errors.js';
import { UndoStack } from '../undo.js';
import { readBack } from './guest-state.js';
import type { PodNetworkParts } from './pod-network.js';
import type { RouteRecord } from './record.js';
import { guestRoute, parseRoute, parseSelector, podRoutes, sameRoute, selects } from './routes.js';
import { checked } from './spec-errors.js';
import type { PodRoute } from './types.js';

const routesSchema = z
  .array(
    z.strictObject({
      destination: z.string(),
      gateway: z.string().optional(),
      nic: z.string().optional(),
      metric: z.number().int().min(0).max(0xffff_ffff).optional(),
    }),
  )
  .min(1)
  .max(256);

/** Turns that routes take: they are of several NICs, or of none. */
const ROUTES = ' routes';

/** An agent that is asked to take back what it may have done is not waited for long. */
const UNDO_TIMEOUT_MS = 5_000;

function parse({ table }: PodNetworkParts, inputs: unknown, one: typeof parseRoute): RouteRecord[] {
  const nics = table.list().filter(({ state }) => state === 'ready' || state === 'changing');
  return checked(routesSchema, inputs, 'routes').map((route, index) =>
    one(route as RouteRecord, nics, `routes[${index}]`),
  );
}

export async function addRoutes(parts: PodNetworkParts, inputs: unknown, call: CallOptions): Promise<void> {
  const { vm, table } = parts;
  await table.inTurn(ROUTES, async () => {
    const routes = parse(parts, inputs, parseRoute);
    const undo = new UndoStack();
    const mine = (route: RouteRecord) => routes.some((each) => sameRoute(each, route));
    const before = table.record.routes;
    undo.pushWhenClean('record of routes', (undoCall) =>
      table.setRoutes(
        (all) => all.filter((each) => !mine(each) || before.some((old) => sameRoute(old, each))),
        undoCall,
      ),
    );
    try {
      await table.setRoutes(
        (all) => [...all, ...routes.filter((each) => !all.some((old) => sameRoute(old, each)))],
        call,
      );
      for (const route of routes) await addRoute(parts, route, undo, call);
      await readBack(vm.session, { routes }, table.list(), call);
    } catch (error) {
      const told = await vm.explained(() => Promise.reject(error)).catch((reason: unknown) => reason);
      throw await undo.fail('POD_CLEANUP_FAILED', 'routes were not added, nor wholly taken back', told);
    }
  });
}

/** One by one: a route that the kernel refuses, since it is there already, is not ours to take back. */
async function addRoute({ vm, table }: PodNetworkParts, route: RouteRecord, undo: UndoStack, call: CallOptions) {
  const sent = guestRoute(route, table.list());
  const takeBack = (undoCall: CallOptions) =>
    withDeadline(`route to ${route.destination}`, UNDO_TIMEOUT_MS, undoCall.signal, (limited) =>
      vm.session.removeRoutes([sent], limited),
    );
  try {
    await vm.session.addRoutes([sent], call);
    undo.push(`route to ${route.destination}`, takeBack);
  } catch (error) {
    if (!hasCode(error, 'AGENT_REFUSED', 'NOT_SUPPORTED')) {
      // Nobody knows whether it is there.
      undo.push(`route to ${route.destination}`, (undoCall) => takeBack(undoCall).catch(passRefusal));
    }
    throw error;
  }
}

function passRefusal(error: unknown): void {
  if (!hasCode(error, 'AGENT_REFUSED')) throw error;
}

export async function removeRoutes(parts: PodNetworkParts, inputs: unknown, call: CallOptions): Promise<void> {
  const { vm, table } = parts;
  await table.inTurn(ROUTES, async () => {
    const named = parse(parts, inputs, parseSelector);
    const { session } = vm;
    if (!session.features.readNetwork) {
      throw new HyperplugError('NOT_SUPPORTED', `the agent (${session.description}) cannot remove routes`);
    }
    await vm.explained(async () => {
      const there = podRoutes(await session.readNetwork(call), table.list(), []);
      const meant = there.filter((route) => named.some((each) => selects(each, route)));
      for (const { destination, gateway, metric, device } of meant) {
        const route = {
          destination,
          ...(gateway !== undefined && { gateway }),
          ...(metric !== undefined && { metric }),
          ...(device !== undefined && { device }),
        };
        await session.removeRoutes([route], call);
      }
      await readBack(session, { absentRoutes: meant }, table.list(), call);
    });
    await table.setRoutes((all) => all.filter((each) => !named.some((route) => selects(route, each))), call);
  });
}

export async function readRoutes({ vm, table }: PodNetworkParts, call: CallOptions): Promise<readonly PodRoute[]> {
  const ours = table.record.routes;
  if (!vm.session.features.readNetwork) return ours.map((route) => ({ ...route, origin: 'pod' }));
  const network = await vm.explained(() => vm.session.readNetwork(call));
  return podRoutes(network, table.list(), ours);
}
