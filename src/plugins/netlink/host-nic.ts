import { close, closeSync, existsSync } from 'node:fs';
import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { HostNic, HostNicRecord, NicCounters, NicPlan } from '../../core/network.js';
import { refusedWith } from '../../host/netlink/errno.js';
import { openNamespace } from '../../host/netns.js';
import { tapAlias, tapName } from './names.js';
import type { PlannedNetwork } from './network.js';
import type { OpenVswitch } from './openvswitch.js';
import { type LinkChange, type PortFlags, Rtnl } from './rtnl.js';
import { disableIpv6, netSysctlIs } from './sysctl.js';
import { openMacvtap, openTap, type Tap } from './tap.js';

/** linux/if_link.h: MACVLAN_MODE_*. */
const MACVLAN_MODE = { private: 1, vepa: 2, bridge: 4 } as const;
const UNDO_MS = 30_000;
/** ETH_MAX_MTU of linux/if_ether.h. */
const CABLE_MTU = 65_535;

/** What the record of a NIC's host side holds beside the contract's fields. */
export interface DeviceRecord {
  readonly kind: 'bridge' | 'macvtap' | 'openvswitch' | 'yours';
  readonly device: string;
  readonly alias: string;
  readonly bridge: string;
  /** The firewall was told who may reach it. */
  readonly restricted?: boolean;
}

export interface Device {
  /** Without descriptors: an interface in the VM's namespace. */
  readonly tap: Tap;
  readonly record: DeviceRecord;
}

export interface Ground {
  readonly rtnl: Rtnl;
  readonly ovs: OpenVswitch;
  /** Whose devices these are; see ownerTag(). */
  readonly owner: string | undefined;
}

/**
 * The device of a NIC in its network, named by alias, with the MTU of the NIC, up. Nothing is left of one that failed on
 * its way.
 * @throws NET_FULL the bridge has no free port; NET_INIT_FAILED it is gone; NET_KERNEL_REFUSED, HOST_PERMISSION.
 */
export function attachDevice(
  ground: Ground,
  network: PlannedNetwork,
  plan: NicPlan,
  call: CallOptions,
): Promise<Device> {
  if (plan.endpoint === 'interface') refuseTaps(network, plan);
  if (plan.tap !== undefined) return attachYours(ground, network, plan.tap, plan, call);
  return network.attachment.kind === 'macvtap'
    ? attachMacvtap(ground, network, plan, call)
    : attachPort(ground, network, plan, call);
}

async function attachPort(
  { rtnl, ovs, owner }: Ground,
  network: PlannedNetwork,
  plan: NicPlan,
  call: CallOptions,
): Promise<Device> {
  const { attachment, bridge, spec, group } = network;
  const record = plannedDevice(plan, attachment.kind, bridge.name, owner);
  const tap =
    plan.endpoint === 'interface'
      ? await makeCable(rtnl, record.device, plan, call)
      : openTap(record.device, plan.queues, rtnl.netnsPath);
  try {
    // A port of a bridge has no use for addresses of its own, which would be made, and told to the guest, and for each of
    // which the kernel walks the routes of all the others.
    disableIpv6(rtnl.netnsPath, tap.name);
    const change = { mtu: plan.mtu, alias: record.alias, group, up: true };
    if (attachment.kind === 'openvswitch') {
      if (!(await rtnl.link(bridge.name, call))) throw gone(network, `bridge ${bridge.name}`);
      const { index } = await mustBe(rtnl, tap.name, call);
      await rtnl.changeLink(index, change, call);
      await ovs.addPort(bridge.name, tap.name, attachment, call);
    } else {
      const hairpin = plan.ports.length > 0 && bridgedPacketsAreFiltered(rtnl);
      await onBridge(rtnl, network, tap.name, change, { isolated: spec.isolated, hairpin }, call);
    }
    return { tap, record };
  } catch (error) {
    await closeAll(tap.fds);
    if (tap.fds.length === 0) await deleteNamed(rtnl, tap.name);
    if (!refusedWith(error, 'EXFULL')) throw error;
    throw new HyperplugError(
      'NET_FULL',
      `bridge ${bridge.name} of network ${spec.name}: all its 1023 ports are taken`,
      {
        cause: error,
        details: { network: spec.name, bridge: bridge.name },
      },
    );
  }
}

/** The bridge's index is remembered from one NIC to the next: the kernel gives none twice, so a bridge made anew has another. */
async function onBridge(
  rtnl: Rtnl,
  network: PlannedNetwork,
  device: string,
  change: Required<Pick<LinkChange, 'mtu' | 'alias' | 'group' | 'up'>>,
  flags: PortFlags,
  call: CallOptions,
): Promise<void> {
  const { bridge } = network;
  let master = bridgeIndexes.get(network);
  for (let tries = 0; tries < 3; tries++) {
    master ??= (await rtnl.link(bridge.name, call))?.index;
    if (master === undefined) break;
    const port = await rtnl.attachPort(master, device, change, flags, call);
    if (!port) {
      master = undefined;
      continue;
    }
    bridgeIndexes.set(network, master);
    if (port.master === master && port.up && port.mtu === change.mtu && port.alias === change.alias) return;
    throw new HyperplugError(
      'NET_KERNEL_REFUSED',
      `${device}: expected it on ${bridge.name} (${master}), up, with MTU ${change.mtu}, got ${JSON.stringify(port)}`,
    );
  }
  bridgeIndexes.delete(network);
  throw gone(network, `bridge ${bridge.name}`);
}

const bridgeIndexes = new WeakMap<PlannedNetwork, number>();

async function attachMacvtap(
  { rtnl, owner }: Ground,
  network: PlannedNetwork,
  plan: NicPlan,
  call: CallOptions,
): Promise<Device> {
  const { attachment, bridge: parent, group } = network;
  const mode = attachment.kind === 'macvtap' ? attachment.mode : 'bridge';
  const under = await rtnl.link(parent.name, call);
  if (!under) throw gone(network, `parent interface ${parent.name}`);
  const record = plannedDevice(plan, 'macvtap', parent.name, owner);
  const { alias, device: name } = record;
  const change = { alias, mac: plan.mac, mtu: plan.mtu, group, up: true };
  await rtnl.createLink('macvtap', name, change, { mode: MACVLAN_MODE[mode] }, call, under.index);
  try {
    const { index } = await mustBe(rtnl, name, call);
    return { tap: openMacvtap(name, index, plan.queues), record };
  } catch (error) {
    await deleteNamed(rtnl, name);
    throw error;
  }
}

async function deleteNamed(rtnl: Rtnl, name: string): Promise<void> {
  const undo = { signal: AbortSignal.timeout(UNDO_MS) };
  const made = await rtnl.link(name, undo);
  if (made) await rtnl.deleteLink(made.index, undo);
}

/** What ends in the VM's own namespace is a cable to a port of a bridge. */
function refuseTaps({ attachment }: PlannedNetwork, { tap }: NicPlan): void {
  const what = tap !== undefined ? `tap ${tap}` : attachment.kind === 'macvtap' ? 'attachment macvtap' : undefined;
  if (what === undefined) return;
  throw new HyperplugError('NOT_SUPPORTED', `${what}: the hypervisor takes interfaces of its own namespace, not taps`);
}

/**
 * A veth whose other end lies in the VM's network namespace: when the VM dies its namespace goes, and both ends with it. The
 * MTU is that of our end; the other passes on whatever the guest sends.
 */
async function makeCable(rtnl: Rtnl, name: string, { netnsPath }: NicPlan, call: CallOptions): Promise<Tap> {
  if (netnsPath === undefined) throw new TypeError('endpoint interface: expected netnsPath');
  const netnsFd = openVmNamespace(netnsPath);
  try {
    // The namespace has no address of its own and shall not give itself any.
    disableIpv6(netnsPath, 'default');
    await rtnl.createVeth(name, { name, netnsFd, mtu: CABLE_MTU }, call);
  } finally {
    closeSync(netnsFd);
  }
  const inside = new Rtnl(netnsPath);
  try {
    await inside.changeLink((await mustBe(inside, name, call)).index, { up: true }, call);
  } catch (error) {
    await deleteNamed(rtnl, name);
    throw error;
  } finally {
    await inside.close();
  }
  return { name, fds: [] };
}

/** @throws VM_EXITED: it goes with the VM. */
function openVmNamespace(netnsPath: string): number {
  try {
    return openNamespace(netnsPath);
  } catch (cause) {
    if (existsSync(netnsPath)) throw cause;
    throw new HyperplugError('VM_EXITED', `the VM's network namespace ${netnsPath} is gone`, { cause });
  }
}

/** A tap that its owner made, enslaved and will remove. */
async function attachYours(
  { rtnl }: Ground,
  network: PlannedNetwork,
  name: string,
  plan: NicPlan,
  call: CallOptions,
): Promise<Device> {
  const wrong = (expected: string, received: string, cause?: unknown) =>
    new HyperplugError('NET_SPEC_INVALID', `tap: expected ${expected}, got ${received}: ${name}`, {
      cause,
      details: { field: 'tap', received: name },
    });
  const link = await rtnl.link(name, call);
  if (link?.kind !== 'tun') {
    throw wrong('a tap that is there', link ? `a device of kind ${link.kind ?? 'none'}` : 'no such device');
  }
  const inUse = (cause?: unknown) => wrong('a tap that nobody has open', 'one that is in use', cause);
  const multiQueue = link.openQueues !== undefined;
  let tap: Tap;
  try {
    tap = openTap(name, multiQueue ? plan.queues : 1, rtnl.netnsPath, { existing: { multiQueue } });
  } catch (error) {
    if (refusedWith(error, 'EBUSY')) throw inUse(error);
    // Of frames; the kernel has one kind for both.
    if (refusedWith(error, 'EINVAL')) throw wrong('a tap', 'a tun device', error);
    throw error;
  }
  try {
    // Of several queues the kernel gives each to whoever comes, and would share the packets out among two VMs.
    const opened = multiQueue ? (await rtnl.link(name, call))?.openQueues : undefined;
    if (opened !== undefined && opened > tap.fds.length) throw inUse();
  } catch (error) {
    for (const fd of tap.fds) closeSync(fd);
    throw error;
  }
  return { tap, record: { kind: 'yours', device: name, alias: '', bridge: network.bridge.name } };
}

/**
 * A pod that asks for a port of its own by the host's address: where bridged packets pass the firewall (br_netfilter), they
 * are turned round within the bridge, which sends nothing back out of the port it came by, unless told to.
 */
export async function letPortsHairpin({ rtnl }: Ground, record: DeviceRecord, call: CallOptions): Promise<void> {
  if (record.kind !== 'bridge' || !bridgedPacketsAreFiltered(rtnl)) return;
  const link = await rtnl.link(record.device, call);
  if (link?.alias === record.alias) await rtnl.changePort(link.index, { hairpin: true }, call);
}

export const bridgedPacketsAreFiltered = ({ netnsPath }: Rtnl): boolean =>
  netSysctlIs(netnsPath, 'bridge/bridge-nf-call-iptables', '1');

/** Removes the device of a record, if it is still ours. */
export async function detachDevice(
  { rtnl, ovs }: Ground,
  record: DeviceRecord,
  remove: (index: number) => Promise<unknown>,
  call: CallOptions,
): Promise<void> {
  if (record.kind === 'yours') return;
  if (record.kind === 'openvswitch') await ovs.removePort(record.bridge, record.device, call);
  const link = await rtnl.link(record.device, call);
  // A device of that name that is not ours is not ours to delete. One whose maker died before it had its alias has none;
  // its name says whose it is.
  const nameless = !link?.alias && (link?.kind === 'veth' || (record.kind === 'macvtap' && link?.kind === 'macvtap'));
  if (link && (link.alias === record.alias || nameless)) await remove(link.index);
}

/** @throws NET_KERNEL_REFUSED the device is gone, or the kernel refused. */
export async function setDeviceMtu(rtnl: Rtnl, record: DeviceRecord, mtu: number, call: CallOptions): Promise<void> {
  // One of the user's is as its owner wants it.
  if (record.kind === 'yours') return;
  const link = await rtnl.link(record.device, call);
  if (link?.alias !== record.alias) {
    throw new HyperplugError('NET_KERNEL_REFUSED', `${record.device} (${record.alias}) is not there any more`);
  }
  await rtnl.changeLink(link.index, { mtu }, call);
}

/** As the pod sees them: what its tap receives is what the pod sends. */
export async function deviceCounters(rtnl: Rtnl, record: DeviceRecord, call: CallOptions): Promise<NicCounters | null> {
  const counters = (await rtnl.link(record.device, call))?.counters;
  if (!counters) return null;
  const { receivedBytes, receivedPackets, sentBytes, sentPackets } = counters;
  return {
    receivedBytes: sentBytes,
    receivedPackets: sentPackets,
    sentBytes: receivedBytes,
    sentPackets: receivedPackets,
  };
}

/** Names follow from the NIC alone. */
export function plannedDevice(
  { podId, nicId }: Pick<NicPlan, 'podId' | 'nicId'>,
  kind: DeviceRecord['kind'],
  bridge: string,
  owner: string | undefined,
): DeviceRecord {
  return { kind, device: tapName(podId, nicId, owner), alias: tapAlias(podId, nicId, owner), bridge };
}

async function mustBe(rtnl: Rtnl, name: string, call: CallOptions) {
  const link = await rtnl.link(name, call);
  if (link) return link;
  throw new HyperplugError('NET_KERNEL_REFUSED', `${name} is not there after it was made`);
}

function gone({ spec }: PlannedNetwork, what: string): HyperplugError {
  return new HyperplugError(
    'NET_INIT_FAILED',
    `network ${spec.name}: ${what} is not there: net repair makes what is ours again`,
    {
      details: { network: spec.name },
    },
  );
}

export function hostNicOf(
  backend: string,
  plan: NicPlan,
  { tap, record: data }: Device,
  onHandedOver: () => void,
): HostNic {
  let handedOver: Promise<void> | undefined;
  const record: HostNicRecord = {
    version: 1,
    backend,
    network: plan.lease.network,
    podId: plan.podId,
    nicId: plan.nicId,
    data: { ...data },
  };
  return {
    nicId: plan.nicId,
    endpoint:
      plan.endpoint === 'interface'
        ? { kind: 'interface', name: tap.name }
        : { kind: 'tap-fd', fds: tap.fds, vnetHdr: true },
    record,
    handedOver() {
      handedOver ??= (async () => onHandedOver())();
      return handedOver;
    },
  };
}

/** Closing a tap's last descriptor waits for RCU, so it is never done on the event loop. */
export async function closeAll(fds: readonly number[]): Promise<void> {
  await Promise.all(fds.map((fd) => new Promise<void>((resolve) => close(fd, () => resolve()))));
}
