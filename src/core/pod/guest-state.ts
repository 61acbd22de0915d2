import { setTimeout as delay } from 'node:timers/promises';
import type { GuestNetwork, GuestNic, GuestNicConfig, GuestSession } from '../agent.js';
import { type CallOptions, withDeadline } from '../calls.js';
import { HyperplugError, hasCode } from '../errors.js';
import type { DetachOptions } from '../hypervisor.js';
import { parseAddress } from '../ipam/index.js';
import type { InterfaceAddress } from '../network.js';
import type { Vm } from '../vm/vm.js';
import { LOOPBACK } from './interface-spec.js';
import { addressesOf } from './nics.js';
import type { NicRecord, RouteRecord } from './record.js';
import { guestHas } from './routes.js';

/** A NIC that nobody has configured yet, as the guest shall have it. */
export function nicConfig(nic: NicRecord, expectedName: string): GuestNicConfig {
  const { mac, name, mtu, kind } = nic;
  const common = { mac, expectedName, addAddresses: addressesOf(nic), removeAddresses: [] };
  if (kind === 'loopback') return common;
  return { ...common, ...(name !== null && { name }), mtu };
}

export interface ExpectedState {
  readonly present?: readonly NicRecord[];
  /** Addresses that a NIC shall no longer have, by its id. */
  readonly removed?: Readonly<Record<string, readonly InterfaceAddress[]>>;
  readonly absent?: readonly NicRecord[];
  readonly routes?: readonly RouteRecord[];
  readonly absentRoutes?: readonly RouteRecord[];
}

/**
 * Reads the guest's network and compares it with what shall be; undefined where the agent cannot read it, or nothing is expected.
 * @throws AGENT_REFUSED with `details.differences`: the guest acknowledged what it did not do.
 */
export async function readBack(
  session: GuestSession,
  expected: ExpectedState,
  nics: readonly NicRecord[],
  call: CallOptions,
): Promise<GuestNetwork | undefined> {
  const { present = [], absent = [], routes = [], absentRoutes = [] } = expected;
  const nothing = [present, absent, routes, absentRoutes].every((each) => each.length === 0);
  if (nothing || !session.features.readNetwork) return undefined;
  const network = await session.readNetwork(call);
  const wrong = [
    ...present.flatMap((nic) => nicDifferences(nic, network, expected.removed?.[nic.id] ?? [])),
    ...absent
      .filter((nic) => linkOf(network, nic) !== undefined)
      .map(({ id, mac }) => `NIC ${id} (${mac}) is still there`),
    ...routes
      .filter((route) => !guestHas(network, route, nics))
      .map((route) => `the route to ${route.destination} is missing`),
    ...absentRoutes
      .filter((route) => guestHas(network, route, nics))
      .map((route) => `the route to ${route.destination} is still there`),
  ];
  refuseDifferences(wrong);
  return network;
}

/**
 * Compares what the agent answered of NICs that it has set up, which it read from its kernel, with what they shall be.
 * @throws AGENT_REFUSED as readBack()
 */
export function checkAnswers(session: GuestSession, nics: readonly NicRecord[], answers: readonly GuestNic[]): void {
  if (!session.features.readNetwork) return;
  refuseDifferences(nics.flatMap((nic) => nicDifferences(nic, { links: answers, routes: [] }, [])));
}

function refuseDifferences(wrong: readonly string[]): void {
  if (wrong.length === 0) return;
  const reason = `read back, the guest's network is not as it acknowledged: ${wrong.join('; ')}`;
  throw new HyperplugError('AGENT_REFUSED', reason, { details: { reason, differences: wrong } });
}

export function linkOf({ links }: GuestNetwork, { kind, mac }: NicRecord): GuestNic | undefined {
  return links.find((link) => (kind === 'loopback' ? link.name === LOOPBACK : link.mac === mac));
}

function nicDifferences(nic: NicRecord, network: GuestNetwork, removed: readonly InterfaceAddress[]): string[] {
  const link = linkOf(network, nic);
  if (!link) return [`NIC ${nic.id} (${nic.mac}) is missing`];
  const wrong: string[] = [];
  const compare = (field: string, expected: unknown, seen: unknown) => {
    if (seen !== expected) wrong.push(`${field} of NIC ${nic.id}: expected ${expected}, the guest has ${seen}`);
  };
  if (nic.name !== null && nic.kind === 'network') compare('name', nic.name, link.name);
  if (nic.kind === 'network') compare('mtu', nic.mtu, link.mtu);
  compare('up', true, link.up);
  const has = (address: InterfaceAddress) => link.addresses.some((each) => sameAddress(each, address));
  const text = ({ address, prefixLength }: InterfaceAddress) => `${address}/${prefixLength}`;
  for (const each of addressesOf(nic)) if (!has(each)) wrong.push(`NIC ${nic.id}: ${text(each)} is missing`);
  for (const each of removed) if (has(each)) wrong.push(`NIC ${nic.id}: ${text(each)} is still there`);
  return wrong;
}

export function sameAddress(a: InterfaceAddress, b: InterfaceAddress): boolean {
  if (a.prefixLength !== b.prefixLength) return false;
  if (a.address === b.address) return true;
  const [x, y] = [a, b].map(({ address }) => parseAddress(address, 'address', 'AGENT_PROTOCOL'));
  return x?.family === y?.family && x?.value === y?.value;
}

/** How long a guest that may be why we undo is asked to let go of a NIC by itself. */
const ASK_GUEST_TIMEOUT_MS = 3_000;
const EXIT_SOON_MS = 1_000;

/**
 * Takes a device out of the VM, with the guest's help or without. One that is gone, by itself or with its VM, is no error.
 * @throws when it is not known to be gone.
 */
export async function unplug(vm: Vm, nic: NicRecord, call: CallOptions): Promise<void> {
  await withDeadline(`guest's side of NIC ${nic.id}`, ASK_GUEST_TIMEOUT_MS, call.signal, (limited) =>
    clearInGuest(vm.session, nic, limited),
  ).catch(() => {});
  await detach(vm, nic, call);
}

/** Link down, addresses and routes forgotten. A NIC that the guest does not have is no error. */
export async function clearInGuest(session: GuestSession, nic: NicRecord, call: CallOptions): Promise<void> {
  try {
    await session.deleteInterface({ mac: nic.mac, expectedName: nic.guestName ?? nic.name ?? '' }, call);
  } catch (error) {
    if (!hasCode(error, 'AGENT_REFUSED')) throw error;
    if (session.features.readNetwork && linkOf(await session.readNetwork(call), nic) !== undefined) throw error;
    if (!session.features.readNetwork) throw error;
  }
}

/** @throws when the device is not known to be gone. */
export async function detach({ hypervisor }: Vm, { id }: NicRecord, call: DetachOptions): Promise<void> {
  try {
    await hypervisor.detachNic(id, call);
  } catch (error) {
    if (hasCode(error, 'VM_NIC_NOT_FOUND', 'VM_EXITED')) return;
    if (!hasCode(error, 'VM_NOT_RUNNING')) throw error;
    // Paused, or about to be gone.
    const exit = await Promise.race([hypervisor.exited, delay(EXIT_SOON_MS, undefined, { ref: false })]);
    if (!exit) throw error;
  }
}
