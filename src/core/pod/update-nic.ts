import { z } from 'zod';
import type { GuestNicConfig } from '../agent.js';
import type { CallOptions } from '../calls.js';
import { HyperplugError, hasCode } from '../errors.js';
import type { AddressLease, InterfaceAddress, PortMapping } from '../network.js';
import { UndoStack } from '../undo.js';
import { linkOf, readBack, sameAddress } from './guest-state.js';
import { addressText, bare, interfaceAddress, interfaceName, mtu as mtuSchema, prefixOf } from './interface-spec.js';
import { addressesOf, checkMtu, podNic } from './nics.js';
import type { PodNetworkParts } from './pod-network.js';
import { publishOn, unpublishFrom } from './publish-ports.js';
import type { NicRecord } from './record.js';
import { checked, wrong } from './spec-errors.js';
import type { NicChange, PodNic } from './types.js';

const changeSchema = z.strictObject({
  addAddresses: z.array(z.string()).max(64).optional(),
  removeAddresses: z.array(z.string()).max(64).optional(),
  name: interfaceName.optional(),
  mtu: mtuSchema.optional(),
});

/** Addresses taken, guest changed and read back, host side and ports after it, addresses given back; one failure undoes all. */
export function updateNic(parts: PodNetworkParts, id: string, input: NicChange, call: CallOptions): Promise<PodNic> {
  const change = checked(changeSchema, input, 'change');
  const added = (change.addAddresses ?? []).map((text, at) => addressText(text, `addAddresses[${at}]`));
  const removed = (change.removeAddresses ?? []).map((text, at) => addressText(text, `removeAddresses[${at}]`));
  const both = added.find((text) => removed.some((other) => bare(other) === bare(text)));
  if (both !== undefined) throw wrong('addAddresses', 'addresses that are not to be removed', both);
  return parts.table.inTurn(id, async () => {
    const before = checkChange(parts, id, change, { added, removed });
    const undo = new UndoStack();
    undo.push(`record of NIC ${id}`, (undoCall) => parts.table.set(id, { ...before, state: 'ready' }, undoCall));
    try {
      const after = await apply(parts, before, { ...change, added, removed }, undo, call);
      return podNic(after, parts.table.guest(id));
    } catch (error) {
      const told = await parts.vm.explained(() => Promise.reject(error)).catch((reason: unknown) => reason);
      throw await undo.fail('POD_CLEANUP_FAILED', `NIC ${id} was not changed, nor put back wholly`, told);
    }
  });
}

interface Change {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly name?: string | undefined;
  readonly mtu?: number | undefined;
}

function checkChange(
  { services, table }: PodNetworkParts,
  id: string,
  change: NicChange,
  { added, removed }: Pick<Change, 'added' | 'removed'>,
): NicRecord {
  const nic = table.find(id);
  if (nic.state === 'removing') {
    throw new HyperplugError(
      'VM_NIC_NOT_FOUND',
      `NIC ${id} of pod ${table.record.id} is half removed; remove it again`,
    );
  }
  if (nic.kind === 'loopback') {
    for (const key of ['name', 'mtu'] as const) {
      if (change[key] !== undefined) throw wrong(key, 'nothing for the loopback', change[key]);
    }
  }
  const { backend, driver } = services;
  const moved = change.addAddresses?.length || change.removeAddresses?.length;
  // Whom they let in is told to the firewall by address.
  if (nic.allow && moved) {
    throw new HyperplugError(
      'NOT_SUPPORTED',
      `addresses: a NIC of a pod with portmappingWhiteLists keeps those it was added with`,
    );
  }
  if (nic.kind !== 'loopback' && (change.mtu !== undefined || added.length > 0)) {
    const stay = addressesOf(nic).filter(({ address }) => !removed.some((text) => bare(text) === address));
    const addresses = [...stay, ...added.map((text) => ({ address: bare(text) }))];
    checkMtu(backend, change.mtu ?? nic.mtu, 'mtu', nic.networkMtu, addresses);
  }
  const renamed = change.name !== undefined && change.name !== (nic.name ?? nic.guestName);
  // A guest takes the link down for it; the hypervisor's own network that is opened with the link would end with it.
  if (renamed && backend.capabilities.hypervisorNetwork && driver.capabilities.linkUp === 'guest-up') {
    throw new HyperplugError(
      'NOT_SUPPORTED',
      `name: a NIC of the ${driver.name} hypervisor's own network keeps the name it was added with`,
    );
  }
  const other = table.list().find((each) => each.id !== id && change.name !== undefined && each.name === change.name);
  if (other)
    throw new HyperplugError('VM_NIC_EXISTS', `name: expected one of its own, NIC ${other.id} is ${change.name}`);
  return nic;
}

async function apply(
  parts: PodNetworkParts,
  before: NicRecord,
  change: Change,
  undo: UndoStack,
  call: CallOptions,
): Promise<NicRecord> {
  const { vm, table } = parts;
  const { id } = before;
  const has = addressesOf(before);
  const gone = has.filter(({ address }) => change.removed.some((text) => bare(text) === address));
  const fresh = change.added.filter((text) => !has.some(({ address }) => address === bare(text)));
  const { lease: more, others } = await takeAddresses(parts, before, fresh, undo, call);
  const name = change.name ?? before.name;
  const mtu = change.mtu ?? before.mtu;
  const union = withAddresses(before, more, others);
  checkPorts(union, gone);
  // Until the guest has changed it has, for the record, what it had and what it is to get.
  await table.set(id, { ...union, state: 'changing' }, call);

  const host = hostMtu(parts, before, mtu);
  // Never a guest that sends what its host side does not take.
  if (mtu > before.mtu) await host(undo, call);
  await changeGuest(
    parts,
    before,
    { fresh: [...more, ...others], gone, name: change.name, mtu: change.mtu },
    undo,
    call,
  );
  if (mtu < before.mtu) await host(undo, call);

  const after = withoutAddresses({ ...union, name, mtu, state: 'ready' }, gone);
  await movePorts(parts, before, after, undo, call);
  const removed = { [id]: gone };
  const network = await readBack(vm.session, { present: [after], removed }, table.list(), call);
  const link = network && linkOf(network, after);
  if (link) table.sawGuest(id, link);
  const guestName = link?.name ?? change.name ?? before.guestName;
  const written = await table.set(id, { ...after, guestName }, call, [table.event('nic-changed', id)]);
  await giveBack(parts, before, gone, call);
  return written;
}

/** Those of the NIC's network from its pool; others have to say their prefix length. */
async function takeAddresses(
  { services }: PodNetworkParts,
  { kind, lease }: NicRecord,
  texts: readonly string[],
  undo: UndoStack,
  call: CallOptions,
): Promise<{ lease: InterfaceAddress[]; others: InterfaceAddress[] }> {
  const taken = { lease: [] as InterfaceAddress[], others: [] as InterfaceAddress[] };
  for (const text of texts) {
    if (kind === 'loopback' || !lease) {
      taken.others.push(interfaceAddress(text));
      continue;
    }
    const { network, podId, nicId } = lease;
    try {
      const more = await services.backend.allocateAddress({ network, podId, nicId, addresses: [bare(text)] }, call);
      undo.push(`address ${text}`, (undoCall) => services.backend.releaseAddress(more, undoCall));
      const expected = more.addresses[0]?.prefixLength;
      if (prefixOf(text) !== undefined && prefixOf(text) !== expected) {
        throw wrong('addAddresses', `the prefix length of network ${network}, ${expected}`, text);
      }
      taken.lease.push(...more.addresses);
    } catch (error) {
      if (!hasCode(error, 'IPAM_ADDRESS_OUT_OF_RANGE') || prefixOf(text) === undefined) throw error;
      taken.others.push(interfaceAddress(text));
    }
  }
  return taken;
}

function withAddresses(
  nic: NicRecord,
  more: readonly InterfaceAddress[],
  others: readonly InterfaceAddress[],
): NicRecord {
  const lease = nic.lease && { ...nic.lease, addresses: [...nic.lease.addresses, ...more] };
  return { ...nic, lease, otherAddresses: [...nic.otherAddresses, ...others] };
}

function withoutAddresses(nic: NicRecord, gone: readonly InterfaceAddress[]): NicRecord {
  const keep = (each: InterfaceAddress) => !gone.some((other) => sameAddress(other, each));
  const lease = nic.lease && { ...nic.lease, addresses: nic.lease.addresses.filter(keep), mtu: nic.mtu };
  return { ...nic, lease, otherAddresses: nic.otherAddresses.filter(keep) };
}

interface GuestChange {
  readonly fresh: readonly InterfaceAddress[];
  readonly gone: readonly InterfaceAddress[];
  readonly name: string | undefined;
  readonly mtu: number | undefined;
}

/** Asks only for what the guest has not got: its kernel refuses to add or remove anything twice. */
async function changeGuest(
  { vm, table }: PodNetworkParts,
  before: NicRecord,
  change: GuestChange,
  undo: UndoStack,
  call: CallOptions,
): Promise<void> {
  const { session } = vm;
  const { mac } = before;
  const expectedName = before.guestName ?? before.name ?? '';
  const current = async (inCall: CallOptions) => {
    const network = session.features.readNetwork ? await session.readNetwork(inCall) : undefined;
    return network && linkOf(network, before);
  };
  const link = await current(call);
  const has = (address: InterfaceAddress) => link?.addresses.some((each) => sameAddress(each, address));
  const config: GuestNicConfig = {
    mac,
    expectedName,
    ...(change.name !== undefined && { name: change.name }),
    ...(change.mtu !== undefined && { mtu: change.mtu }),
    addAddresses: change.fresh.filter((each) => !has(each)),
    removeAddresses: change.gone.filter((each) => !link || has(each)),
  };
  undo.push(`guest's side of NIC ${before.id}`, async (undoCall) => {
    const now = await current(undoCall);
    const there = (address: InterfaceAddress) => now?.addresses.some((each) => sameAddress(each, address));
    await session.setupInterface(
      {
        mac,
        expectedName: now?.name ?? expectedName,
        ...(link && change.name !== undefined && { name: link.name }),
        ...(change.mtu !== undefined && { mtu: before.mtu }),
        addAddresses: config.removeAddresses.filter((each) => !there(each)),
        removeAddresses: config.addAddresses.filter((each) => !now || there(each)),
      },
      undoCall,
    );
  });
  const guest = await session.setupInterface(config, call);
  table.sawGuest(before.id, guest);
}

function hostMtu({ services }: PodNetworkParts, { host, mtu: before }: NicRecord, mtu: number) {
  return async (undo: UndoStack, call: CallOptions) => {
    const { backend } = services;
    if (!host || !backend.setMtu) return;
    undo.push('MTU of the host side', async (undoCall) => backend.setMtu?.(host, before, undoCall));
    await backend.setMtu(host, mtu, call);
  };
}

/** The address that ports of this family lead to. */
const target = (lease: AddressLease | null, { hostAddress }: PortMapping) =>
  lease?.addresses.find(({ address }) => address.includes(':') === hostAddress.includes(':'))?.address;

/** @throws POD_SPEC_INVALID a published port would lead nowhere. */
function checkPorts({ id, ports, lease }: NicRecord, gone: readonly InterfaceAddress[]): void {
  const left = lease && { ...lease, addresses: lease.addresses.filter((each) => !gone.includes(each)) };
  const lost = ports.find((mapping) => target(left, mapping) === undefined);
  if (!lost) return;
  const address = target(lease, lost);
  throw wrong(
    'removeAddresses',
    `addresses that no published port of NIC ${id} leads to; unpublish it before`,
    address,
  );
}

/** A mapping follows its NIC's address. */
async function movePorts(
  parts: PodNetworkParts,
  before: NicRecord,
  after: NicRecord,
  undo: UndoStack,
  call: CallOptions,
): Promise<void> {
  const moved = before.ports.filter((mapping) => target(before.lease, mapping) !== target(after.lease, mapping));
  if (moved.length === 0) return;
  undo.push('published ports', async (undoCall) => {
    await unpublishFrom(parts, after, moved, undoCall);
    await publishOn(parts, before, moved, new UndoStack(), undoCall);
  });
  await unpublishFrom(parts, before, moved, call);
  await publishOn(parts, after, moved, new UndoStack(), call);
}

async function giveBack(
  { services }: PodNetworkParts,
  { lease }: NicRecord,
  gone: readonly InterfaceAddress[],
  call: CallOptions,
): Promise<void> {
  const addresses = lease?.addresses.filter((each) => gone.includes(each)) ?? [];
  if (lease && addresses.length > 0) await services.backend.releaseAddress({ ...lease, addresses }, call);
}
