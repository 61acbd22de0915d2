import type { GuestNic } from '../agent.js';
import { type CallOptions, throwIfAborted } from '../calls.js';
import { concurrently } from '../concurrently.js';
import { fieldError, HyperplugError } from '../errors.js';
import type { HypervisorDriver, HypervisorVm, NicEndpointKind, VmNic } from '../hypervisor.js';
import { familyOfAddress } from '../ipam/index.js';
import { loopShare } from '../loop-share.js';
import { randomMac } from '../mac.js';
import type { AddressLease, AllowList, HostNic, InterfaceAddress, NetworkBackend } from '../network.js';
import type { UndoStack } from '../undo.js';
import { bare, type InterfaceSpec, interfaceAddress, LOOPBACK, prefixOf } from './interface-spec.js';
import { refuseToAny } from './ports.js';
import type { NicRecord } from './record.js';
import type { PodServices } from './services.js';
import { wrong } from './spec-errors.js';
import type { PodNic } from './types.js';

/** linux/if_arp.h: the loopback's hardware address, as every kernel shows it. */
const LOOPBACK_MAC = '00:00:00:00:00:00';
/** More queues than this a virtual NIC's guest hardly fills. */
const MAX_QUEUES = 8;
/** RFC 8200 section 5. A kernel takes a link's IPv6 addresses away below it (net/ipv6/addrconf.c). */
const IPV6_MIN_MTU = 1280;

/** A NIC whose host side is there. */
export interface PreparedNic {
  readonly record: NicRecord & { readonly lease: AddressLease };
  readonly host: HostNic;
  readonly vmNic: VmNic;
}

export interface PlannedNic {
  readonly spec: InterfaceSpec;
  readonly planned: NicRecord;
}

export interface NicMaking {
  readonly backend: NetworkBackend;
  readonly endpoint: NicEndpointKind;
  /** Of the VM: a tap has a queue for each, within reason. */
  readonly cpus: number;
  /** HypervisorVm.netnsPath, where the VM is there already. */
  readonly netnsPath?: string | undefined;
}

/** A NIC as users see it. */
export function podNic(record: NicRecord, guest?: GuestNic): PodNic {
  const { id, kind, mac, name, mtu, lease, ports } = record;
  return { id, kind, mac, name, mtu, addresses: addressesOf(record), lease, ports, ...(guest && { guest }) };
}

export function addressesOf({ lease, otherAddresses }: NicRecord): readonly InterfaceAddress[] {
  return [...(lease?.addresses ?? []), ...otherAddresses];
}

/**
 * What a NIC record says before anything has been made for it.
 * @throws NET_NOT_FOUND its network is not configured; CONFIG_INVALID it is not made.
 */
export function plannedNic(
  {
    backend: { name: backend },
    networks,
    refusedNetworks,
  }: Pick<PodServices, 'backend' | 'networks' | 'refusedNetworks'>,
  spec: InterfaceSpec,
  podId: string,
  allow: AllowList | undefined,
): PlannedNic {
  const { id, network, ports, name = null } = spec;
  if (spec.kind === 'network' && !networks.some((each) => each.name === network)) {
    const known = networks.map((each) => each.name);
    const field = `interfaces.${id}.network`;
    throw new HyperplugError(
      'NET_NOT_FOUND',
      `${field}: expected one of ${known.join(', ')}, got ${JSON.stringify(network)}`,
      { details: { field, expected: known, received: network } },
    );
  }
  const refused = spec.kind === 'network' && refusedNetworks?.get(network);
  if (refused) throw refused;
  const common = { id, state: 'adding', ports, name, mtu: 0 } as const;
  if (spec.kind === 'loopback') {
    const otherAddresses = spec.addresses.map(interfaceAddress);
    const planned = { mac: LOOPBACK_MAC, guestName: LOOPBACK, lease: null, host: null, otherAddresses };
    return { spec, planned: { ...common, kind: 'loopback', ...planned } };
  }
  const mac = spec.mac ?? randomMac();
  return {
    spec,
    planned: {
      ...common,
      kind: 'network',
      ...(allow && { allow }),
      mac,
      guestName: null,
      // Undoing these gives back whatever this NIC turns out to hold.
      lease: { network, podId, nicId: id, addresses: [], gateways: [], dns: [], mtu: 0 },
      host: { version: 1, backend, network, podId, nicId: id, data: null },
      otherAddresses: [],
    },
  };
}

/** Addresses, then host devices, of all NICs at once. Each step's undo is pushed before it runs. */
export function prepareNics(
  making: NicMaking,
  nics: readonly PlannedNic[],
  undo: UndoStack,
  options: CallOptions,
): Promise<PreparedNic[]> {
  return concurrently(
    nics.map((nic) => (call) => prepareNic(making, nic, undo, call)),
    options,
  );
}

/** Addresses of its network. They go back only when its device is known to be gone: until then the guest may use them. */
export async function leaseNic(
  backend: NetworkBackend,
  { spec, planned }: PlannedNic,
  undo: UndoStack,
  call: CallOptions,
): Promise<AddressLease> {
  const whole = planned.lease as AddressLease;
  const { network, podId, nicId } = whole;
  if (spec.tap !== undefined && !backend.capabilities.tapByName) {
    throw new HyperplugError(
      'NOT_SUPPORTED',
      `interfaces.${nicId}.tap: network ${backend.name} takes no taps of yours (it does not declare tapByName)`,
      { details: { field: `interfaces.${nicId}.tap`, received: spec.tap } },
    );
  }
  if (planned.allow && !backend.capabilities.restricts) {
    throw new HyperplugError(
      'NOT_SUPPORTED',
      `portmappingWhiteLists: network ${backend.name} restricts nobody (it does not declare restricts)`,
      { details: { field: 'portmappingWhiteLists', received: planned.allow } },
    );
  }
  refuseToAny(backend, spec.ports);
  undo.pushWhenClean(`address of ${nicId}`, (undoCall) => backend.releaseAddress(whole, undoCall));
  return backend.allocateAddress({ network, podId, nicId, addresses: spec.addresses.map(bare) }, call);
}

/** @param leased of leaseNic(), where it has begun already. */
export async function prepareNic(
  { backend, endpoint, cpus, netnsPath }: NicMaking,
  nic: PlannedNic,
  undo: UndoStack,
  call: CallOptions,
  leased: Promise<AddressLease> = leaseNic(backend, nic, undo, call),
): Promise<PreparedNic> {
  const { spec, planned } = nic;
  const given = await leased;
  const { podId, nicId } = given;
  checkPrefixes(spec, given);
  const mtu = spec.mtu ?? given.mtu;
  checkMtu(backend, mtu, `interfaces.${nicId}.mtu`, given.mtu, given.addresses);
  const lease = { ...given, mtu };
  throwIfAborted(call.signal, `prepare NIC ${nicId}`);
  const queues = endpoint === 'tap-fd' ? Math.min(cpus, MAX_QUEUES) : 1;
  const { mac } = planned;
  const { ports, tap } = spec;
  const plan = {
    podId,
    nicId,
    mac,
    mtu,
    queues,
    lease,
    ports,
    endpoint,
    ...(netnsPath && { netnsPath }),
    ...(tap && { tap }),
    ...(planned.allow && { allow: planned.allow }),
  };
  let made = planned.host as HostNic['record'];
  undo.pushWhenClean(`host side of ${nicId}`, (undoCall) => backend.detach(made, undoCall));
  await loopShare.take();
  const host = await backend.attach(plan, call);
  made = host.record;
  return {
    record: { ...planned, mtu, networkMtu: given.mtu, lease, host: host.record },
    host,
    // A tap of the user's may have fewer than were asked for.
    vmNic: { id: nicId, mac, mtu, queues: queuesOf(host.endpoint) ?? queues, endpoint: host.endpoint },
  };
}

const queuesOf = (endpoint: HostNic['endpoint']) => (endpoint.kind === 'tap-fd' ? endpoint.fds.length : undefined);

/**
 * Where a backend waits for the guest's link its forwards do, too: resolves when they stand.
 * @throws NET_PORT_IN_USE, HOST_PERMISSION: somebody was faster.
 */
export async function seeForwards(
  { capabilities }: HypervisorDriver,
  hypervisor: HypervisorVm,
  { id, endpoint }: VmNic,
  call: CallOptions,
): Promise<void> {
  if (capabilities.linkUp !== 'guest-up' || endpoint.kind !== 'builtin') return;
  await Promise.all(endpoint.forwards.map((forward) => hypervisor.addForward(id, forward, call)));
}

/** @throws POD_SPEC_INVALID an address was asked for with another prefix length than its network's. */
function checkPrefixes({ id, addresses }: InterfaceSpec, lease: AddressLease): void {
  for (const text of addresses) {
    const prefix = prefixOf(text);
    const given = lease.addresses.find(({ address }) => address === bare(text));
    if (prefix === undefined || given === undefined || given.prefixLength === prefix) continue;
    const expected = `the prefix length of network ${lease.network}, ${given.prefixLength}`;
    throw wrong(`interfaces.${id}.ip`, expected, text);
  }
}

export function checkMtu(
  { name, capabilities }: NetworkBackend,
  mtu: number,
  field: string,
  networkMtu: number | undefined,
  addresses: readonly Pick<InterfaceAddress, 'address'>[],
): void {
  const { min, max } = capabilities.mtu;
  if (mtu < min || mtu > max) throw fieldError('POD_SPEC_INVALID', field, `${min} to ${max} (${name})`, mtu);
  if (addresses.some(({ address }) => familyOfAddress(address) === 6) && mtu < IPV6_MIN_MTU) {
    throw fieldError('POD_SPEC_INVALID', field, `at least ${IPV6_MIN_MTU} with an IPv6 address (RFC 8200)`, mtu);
  }
  if (networkMtu === undefined || mtu <= networkMtu) return;
  throw fieldError('POD_SPEC_INVALID', field, `at most ${networkMtu}, the MTU of its network`, mtu);
}
