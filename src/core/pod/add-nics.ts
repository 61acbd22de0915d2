import type { GuestNetwork, GuestNic } from '../agent.js';
import { type CallOptions, throwIfAborted } from '../calls.js';
import { concurrently } from '../concurrently.js';
import { combineErrors, HyperplugError } from '../errors.js';
import type { AddressLease } from '../network.js';
import { chooseEndpoint } from '../registry/check-selection.js';
import { UndoStack } from '../undo.js';
import { allowOf } from './allow-list.js';
import { checkAnswers, linkOf, nicConfig, readBack, unplug } from './guest-state.js';
import { type InterfaceSpec, LOOPBACK, parseNicInputs } from './interface-spec.js';
import type { NicTable } from './nic-table.js';
import { leaseNic, type PlannedNic, type PreparedNic, plannedNic, podNic, prepareNic, seeForwards } from './nics.js';
import type { PodNetworkParts } from './pod-network.js';
import type { NicRecord, RouteRecord } from './record.js';
import { defaultRoutes, guestRoute, type RoutableNic } from './routes.js';
import type { PodNic } from './types.js';

interface Added {
  readonly nic: PlannedNic;
  /** Of this NIC alone: what cannot be undone of one holds up no other. */
  readonly undo: UndoStack;
  /** Under way; of the loopback none. */
  lease: Promise<AddressLease> | undefined;
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

/**
 * Until all is done the record says what each NIC was planned to be, which is enough to undo it; what it turned out to be is
 * written at the end, with its routes.
 */
async function addPlanned(
  parts: PodNetworkParts,
  added: readonly Added[],
  ids: readonly string[],
  call: CallOptions,
): Promise<PodNic[]> {
  const { vm, table } = parts;
  let routes: readonly RouteRecord[] = [];
  try {
    const prepared = await concurrently(
      added.map((each) => (limited: CallOptions) => prepareOne(parts, each, limited)),
      call,
    );
    const made = added.map(({ nic }, index) => prepared[index]?.record ?? nic.planned);
    routes = table.claimRoutes((there) => defaultRoutes(routable(added, made), there));
    const guests = await plugAll(parts, added, prepared, call);
    checkAnswers(vm.session, made, guests);
    let network: GuestNetwork | undefined;
    // They go with their NICs, whose undo takes those from the guest.
    if (routes.length > 0) {
      const sent = routes.map((route) => guestRoute(route, table.list()));
      await vm.explained(() => vm.session.addRoutes(sent, call));
      network = await readBack(vm.session, { present: made, routes }, table.list(), call);
    }
    for (const [index, nic] of made.entries()) {
      const guest = network ? linkOf(network, nic) : guests[index];
      if (guest) table.sawGuest(nic.id, guest);
    }
    const ready = new Map(
      made.map((nic) => [nic.id, { ...nic, state: 'ready', guestName: table.guest(nic.id)?.name ?? nic.guestName }]),
    ) as ReadonlyMap<string, NicRecord>;
    await table.update(
      (record) => ({
        ...record,
        nics: record.nics.map((nic) => ready.get(nic.id) ?? nic),
        routes: [...record.routes, ...routes],
      }),
      call,
      ids.map((id) => table.event('nic-added', id)),
    );
    return ids.map((id) => podNic(table.find(id), table.guest(id)));
  } catch (error) {
    throw await undoAll(parts, added, error);
  } finally {
    table.unclaimRoutes(routes);
  }
}

async function inOrder<T>(tasks: readonly ((call: CallOptions) => Promise<T>)[], call: CallOptions): Promise<T[]> {
  const results: T[] = [];
  for (const task of tasks) results.push(await task(call));
  return results;
}

/** Ids, names and MACs are taken in the record before anything is made; their addresses are in the same commit. */
function plan(parts: PodNetworkParts, inputs: unknown, call: CallOptions): Promise<Added[]> {
  const { services, table } = parts;
  const { driver, defaults } = services;
  const { id: podId } = table.record;
  // Ids that nobody named are chosen by what is taken, so no other may choose meanwhile.
  return table.inTurn(FREE_IDS, async () => {
    const taken = table.list().map(({ id }) => id);
    const specs = parseNicInputs(inputs, taken, defaults.network);
    if (!driver.capabilities.hotplugNic && specs.some(({ kind }) => kind === 'network')) {
      throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${driver.name} does not declare hotplugNic`);
    }
    refuseGateways(specs, table);
    const added = specs.map((spec): Added => {
      const nic = plannedNic(services, spec, podId, allowOf(table.record.spec));
      return { nic, undo: new UndoStack(), lease: undefined };
    });
    throwIfAborted(call.signal, `add NICs to pod ${podId}`);
    const networks = added.flatMap(({ nic }) => nic.planned.lease?.network ?? []);
    await services.initNetworks(networks, call);
    const records = added.map(({ nic }) => nic.planned);
    try {
      await table.reserve(records, call, () => {
        for (const each of added) lease(parts, each, call);
      });
    } catch (error) {
      throw await undoAll(parts, added, error);
    }
    return added;
  });
}

function lease({ services, table }: PodNetworkParts, added: Added, call: CallOptions): void {
  const { nic, undo } = added;
  undo.pushWhenClean(`record of NIC ${nic.spec.id}`, (undoCall) => table.drop(nic.spec.id, undoCall));
  if (nic.spec.kind === 'loopback') return;
  added.lease = leaseNic(services.backend, nic, undo, call);
  // Whoever waits for it hears of it.
  added.lease.catch(() => {});
}

/** A second default route is known to be one before anything is made. */
function refuseGateways(specs: readonly InterfaceSpec[], table: NicTable): void {
  const explicit = specs.map(({ id, gateway }) => ({ id, gateway: gateway ?? false, lease: { gateways: [] } }));
  defaultRoutes(explicit, table.record.routes);
}

/** Its address and its host device; nothing for the loopback. */
async function prepareOne(
  { services, vm, table }: PodNetworkParts,
  { nic, undo, lease: leased }: Added,
  call: CallOptions,
): Promise<PreparedNic | undefined> {
  if (nic.spec.kind === 'loopback') return undefined;
  const { backend, driver } = services;
  const endpoint = chooseEndpoint(backend.capabilities, driver.capabilities);
  if (!endpoint) throw new TypeError(`${backend.name} and ${driver.name} share no kind of NIC endpoint`);
  const { cpus } = table.record;
  return prepareNic({ backend, endpoint, cpus, netnsPath: vm.hypervisor.netnsPath }, nic, undo, call, leased);
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
  const setUp = (limited: CallOptions) =>
    vm.explained(() => vm.session.setupInterface(nicConfig(record, freeKernelName(table)), limited));
  const plug = async (limited: CallOptions) => {
    await vm.hypervisor.attachNic(vmNic, limited);
    await host.handedOver();
  };
  const guest = await (vm.session.features.nicByMac
    ? lookedOutFor(setUp, plug, call)
    : plug(call).then(() => setUp(call)));
  await seeForwards(services.driver, vm.hypervisor, vmNic, call);
  table.sawGuest(id, guest);
  return guest;
}

/** Asked beforehand, the guest looks out for the NIC by its MAC: the way to it is not waited for after the device. */
async function lookedOutFor(
  setUp: (call: CallOptions) => Promise<GuestNic>,
  plug: (call: CallOptions) => Promise<void>,
  call: CallOptions,
): Promise<GuestNic> {
  let guest: GuestNic | undefined;
  const setUpToo = async (limited: CallOptions) => {
    guest = await setUp(limited);
  };
  await concurrently([setUpToo, plug], call);
  return guest as GuestNic;
}

function routable(added: readonly Added[], made: readonly NicRecord[]): RoutableNic[] {
  return added.flatMap(({ nic: { spec } }, index) => {
    const given = made[index]?.lease;
    return given ? [{ id: spec.id, lease: given, gateway: spec.gateway }] : [];
  });
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

/** The name that the guest's kernel gives next: the lowest that is free. What the guest said last is newer than the record. */
function freeKernelName(table: NicTable): string {
  const names = table.list().map(({ id, guestName, name }) => table.guest(id)?.name ?? guestName ?? name);
  for (let number = 0; ; number++) if (!names.includes(`eth${number}`)) return `eth${number}`;
}

async function undoAll({ vm, table }: PodNetworkParts, added: readonly Added[], cause: unknown): Promise<unknown> {
  const undone = await Promise.all(
    added.map(async ({ nic, undo, lease: leased }) => {
      // What is on its way would come after its undo.
      await leased?.catch(() => {});
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
  const errors = undone.flat();
  const ids = added.map(({ nic }) => nic.spec.id).join(', ');
  const told = await vm.explained(() => Promise.reject(cause)).catch((error: unknown) => error);
  if (errors.length === 0) return told;
  return combineErrors('POD_CLEANUP_FAILED', `NICs ${ids} were not added, nor wholly undone`, [told, ...errors]);
}
