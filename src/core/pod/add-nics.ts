import type { GuestNetwork, GuestNic } from '../agent.js';
import { type CallOptions, throwIfAborted } from '../calls.js';
import { concurrently } from '../concurrently.js';
import { combineErrors, HyperplugError } from '../errors.js';
import { chooseEndpoint } from '../registry/check-selection.js';
import { UndoStack } from '../undo.js';
import { allowOf } from './allow-list.js';
import { checkAnswers, linkOf, nicConfig, readBack, unplug } from './guest-state.js';
import { type InterfaceSpec, LOOPBACK, parseNicInputs } from './interface-spec.js';
import type { NicTable } from './nic-table.js';
import { type PlannedNic, type PreparedNic, plannedNic, podNic, prepareNic, seeForwards } from './nics.js';
import type { PodNetworkParts } from './pod-network.js';
import type { NicRecord, RouteRecord } from './record.js';
import { defaultRoutes, guestRoute, sameRoute } from './routes.js';
import type { PodNic } from './types.js';

interface Added {
  readonly nic: PlannedNic;
  /** Of this NIC alone: what cannot be undone of one holds up no other. */
  readonly undo: UndoStack;
}

/** Turns that are no NIC's. */
const FREE_IDS = ' ids';
const KERNEL_NAMES = ' names';

/** Record, address, host device, VM, guest, routes, read back: all NICs at once, all or none. */
export async function addNics(parts: PodNetworkParts, inputs: unknown, call: CallOptions): Promise<PodNic[]> {
  const added = await plan(parts, inputs, call);
  const ids = added.map(({ nic }) => nic.spec.id);
  return parts.table.inTurns(ids, () => addPlanned(parts, added, ids, call));
}

async function addPlanned(
  parts: PodNetworkParts,
  added: readonly Added[],
  ids: readonly string[],
  call: CallOptions,
): Promise<PodNic[]> {
  const { vm, table } = parts;
  const routesUndo = new UndoStack();
  try {
    const prepared = await concurrently(
      added.map((each) => (limited: CallOptions) => prepareOne(parts, each, limited)),
      call,
    );
    // What each holds is on its way to the disk while the guest is busy: until then their plans say enough to undo them.
    const [guests = [], routes = []] = (await concurrently<GuestNic[] | RouteRecord[]>(
      [
        (limited) => plugAll(parts, added, prepared, limited),
        (limited) => recordAll(parts, added, prepared, routesUndo, limited),
      ],
      call,
    )) as [GuestNic[], RouteRecord[]];
    const present = ids.map((id) => table.find(id));
    checkAnswers(vm.session, present, guests);
    let network: GuestNetwork | undefined;
    // They go with their NICs, whose undo takes those from the guest.
    if (routes.length > 0) {
      const sent = routes.map((route) => guestRoute(route, table.list()));
      await vm.explained(() => vm.session.addRoutes(sent, call));
      network = await readBack(vm.session, { present, routes }, table.list(), call);
    }
    for (const [index, nic] of present.entries()) {
      const guest = network ? linkOf(network, nic) : guests[index];
      if (guest) table.sawGuest(nic.id, guest);
    }
    await table.update(
      (record) => ({
        ...record,
        nics: record.nics.map((nic) =>
          ids.includes(nic.id)
            ? { ...nic, state: 'ready', guestName: table.guest(nic.id)?.name ?? nic.guestName }
            : nic,
        ),
      }),
      call,
      ids.map((id) => table.event('nic-added', id)),
    );
    return ids.map((id) => podNic(table.find(id), table.guest(id)));
  } catch (error) {
    throw await undoAll(parts, added, routesUndo, error);
  }
}

async function inOrder<T>(tasks: readonly ((call: CallOptions) => Promise<T>)[], call: CallOptions): Promise<T[]> {
  const results: T[] = [];
  for (const task of tasks) results.push(await task(call));
  return results;
}

/** Ids, names and MACs are taken in the record before anything is made. */
function plan({ services, table }: PodNetworkParts, inputs: unknown, call: CallOptions): Promise<Added[]> {
  const { backend, driver, defaults } = services;
  const { id: podId } = table.record;
  // Ids that nobody named are chosen by what is taken, so no other may choose meanwhile.
  return table.inTurn(FREE_IDS, async () => {
    const taken = table.list().map(({ id }) => id);
    const specs = parseNicInputs(inputs, taken, defaults.network);
    if (!driver.capabilities.hotplugNic && specs.some(({ kind }) => kind === 'network')) {
      throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${driver.name} does not declare hotplugNic`);
    }
    refuseGateways(specs, table);
    const nics = specs.map((spec) => plannedNic(spec, podId, backend.name, allowOf(table.record.spec)));
    throwIfAborted(call.signal, `add NICs to pod ${podId}`);
    await table.reserve(
      nics.map(({ planned }) => planned),
      call,
    );
    return nics.map((nic) => {
      const undo = new UndoStack();
      undo.pushWhenClean(`record of NIC ${nic.spec.id}`, (undoCall) => table.drop(nic.spec.id, undoCall));
      return { nic, undo };
    });
  });
}

/** A second default route is known to be one before anything is made. */
function refuseGateways(specs: readonly InterfaceSpec[], table: NicTable): void {
  const explicit = specs.map(({ id, gateway }) => ({ id, gateway: gateway ?? false, lease: { gateways: [] } }));
  defaultRoutes(explicit, table.record.routes);
}

/** Its address and its host device; nothing for the loopback. */
async function prepareOne(
  { services, vm, table }: PodNetworkParts,
  { nic, undo }: Added,
  call: CallOptions,
): Promise<PreparedNic | undefined> {
  if (nic.spec.kind === 'loopback') return undefined;
  const { backend, driver } = services;
  const endpoint = chooseEndpoint(backend.capabilities, driver.capabilities);
  if (!endpoint) throw new TypeError(`${backend.name} and ${driver.name} share no kind of NIC endpoint`);
  const { cpus } = table.record;
  return prepareNic({ backend, endpoint, cpus, netnsPath: vm.hypervisor.netnsPath }, nic, undo, call);
}

function plugAll(
  parts: PodNetworkParts,
  added: readonly Added[],
  prepared: readonly (PreparedNic | undefined)[],
  call: CallOptions,
): Promise<GuestNic[]> {
  const plug = added.map((each, index) => (limited: CallOptions) => plugOne(parts, each, prepared[index], limited));
  if (parts.vm.session.features.nicByMac) return concurrently(plug, call);
  // Found by the name the kernel gives next: one after the other.
  return parts.table.inTurn(KERNEL_NAMES, () => inOrder(plug, call));
}

async function plugOne(
  parts: PodNetworkParts,
  { nic, undo }: Added,
  prepared: PreparedNic | undefined,
  call: CallOptions,
): Promise<GuestNic> {
  if (!prepared) return addLoopback(parts, nic.planned, undo, call);
  const { services, vm, table } = parts;
  const { record, host, vmNic } = prepared;
  const { id } = record;
  undo.push(`device of NIC ${id}`, (undoCall) => unplug(vm, table.find(id), undoCall));
  await vm.hypervisor.attachNic(vmNic, call);
  await host.handedOver();
  const expectedName = freeKernelName(table.list());
  const guest = await vm.explained(() => vm.session.setupInterface(nicConfig(record, expectedName), call));
  await seeForwards(services.driver, vm.hypervisor, vmNic, call);
  table.sawGuest(id, guest);
  return guest;
}

/** What was made for all of them, and the default routes by them, in one write. */
async function recordAll(
  { table }: PodNetworkParts,
  added: readonly Added[],
  prepared: readonly (PreparedNic | undefined)[],
  undo: UndoStack,
  call: CallOptions,
): Promise<RouteRecord[]> {
  const records = new Map(prepared.flatMap((each) => (each ? [[each.record.id, each.record]] : [])));
  const routable = added.flatMap(({ nic: { spec } }) => {
    const lease = records.get(spec.id)?.lease;
    return lease ? [{ id: spec.id, lease, gateway: spec.gateway }] : [];
  });
  let routes: RouteRecord[] = [];
  undo.push('record of default routes', async (undoCall) => {
    if (routes.length === 0) return;
    await table.setRoutes((all) => all.filter((route) => !routes.some((each) => sameRoute(each, route))), undoCall);
  });
  await table.update((record) => {
    routes = defaultRoutes(routable, record.routes);
    return {
      ...record,
      nics: record.nics.map((nic) => records.get(nic.id) ?? nic),
      routes: [...record.routes, ...routes],
    };
  }, call);
  return routes;
}

async function addLoopback(
  { vm }: PodNetworkParts,
  nic: NicRecord,
  undo: UndoStack,
  call: CallOptions,
): Promise<GuestNic> {
  const config = nicConfig(nic, LOOPBACK);
  const guest = await vm.explained(() => vm.session.setupInterface(config, call));
  undo.push('addresses of the loopback', (undoCall) =>
    vm.session.setupInterface({ ...config, addAddresses: [], removeAddresses: config.addAddresses }, undoCall),
  );
  return guest;
}

/** The name that the guest's kernel gives next: the lowest that is free. */
function freeKernelName(nics: readonly NicRecord[]): string {
  const names = nics.map(({ guestName, name }) => guestName ?? name);
  for (let number = 0; ; number++) if (!names.includes(`eth${number}`)) return `eth${number}`;
}

async function undoAll(
  { vm, table }: PodNetworkParts,
  added: readonly Added[],
  routesUndo: UndoStack,
  cause: unknown,
): Promise<unknown> {
  const undone = await Promise.all(
    added.map(async ({ nic, undo }) => {
      const errors = await undo.unwind();
      const { id } = nic.spec;
      // What could not be taken away is a NIC still, to be removed by whoever tries next.
      if (errors.length > 0 && table.list().some((each) => each.id === id)) {
        const call = { signal: AbortSignal.timeout(10_000) };
        await table.set(id, { state: 'removing' }, call).catch((error: unknown) => errors.push(error));
      }
      return errors;
    }),
  );
  const errors = [...undone.flat(), ...(await routesUndo.unwind())];
  const ids = added.map(({ nic }) => nic.spec.id).join(', ');
  const told = await vm.explained(() => Promise.reject(cause)).catch((error: unknown) => error);
  if (errors.length === 0) return told;
  return combineErrors('POD_CLEANUP_FAILED', `NICs ${ids} were not added, nor wholly undone`, [told, ...errors]);
}
