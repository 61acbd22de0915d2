import type { CallOptions } from '../../core/calls.js';
import { addressDrift, type BridgeDrift, fitLink, misfit, notOurs, refuseMisfit } from './bridge.js';
import type { Ground } from './host-nic.js';
import type { PlannedNetwork } from './network.js';
import type { Link } from './rtnl.js';

/** The bridge of Open vSwitch, and its internal interface with the network's addresses. True: made by this call. */
export async function ensureOvsBridge(ground: Ground, network: PlannedNetwork, call: CallOptions): Promise<boolean> {
  const { rtnl, ovs } = ground;
  const { attachment, bridge, spec } = network;
  if (attachment.kind !== 'openvswitch') throw new TypeError(`network ${spec.name}: expected openvswitch`);
  const owner = await ovs.owner(bridge.name, call);
  if (owner === undefined && bridge.foreign) {
    throw misfit(bridge, [{ expected: 'a bridge of Open vSwitch', received: 'none of that name' }]);
  }
  const mark = markOf(ground, network);
  const before = owner === undefined ? undefined : await rtnl.link(bridge.name, call);
  if (before) refuseMisfit(bridge, await driftOf(ground, network, owner, before, call));
  const made = bridge.foreign ? false : await ovs.ensureBridge(bridge.name, mark, attachment, call);
  try {
    const link = await rtnl.link(bridge.name, call);
    if (!link) {
      const received = 'none in this network namespace';
      throw misfit(bridge, [{ expected: 'an internal interface of that name', received }]);
    }
    const drift = await driftOf(ground, network, made ? mark : owner, link, call);
    refuseMisfit(bridge, drift);
    if (drift.length > 0) await fitLink(rtnl, bridge, link, call);
    return made;
  } catch (error) {
    if (made) await ovs.removeBridge(bridge.name, { signal: AbortSignal.timeout(30_000) });
    throw error;
  }
}

export async function ovsDrift(
  ground: Ground,
  network: PlannedNetwork,
  link: Link,
  call: CallOptions,
): Promise<BridgeDrift[]> {
  return driftOf(ground, network, await ground.ovs.owner(network.bridge.name, call), link, call);
}

async function driftOf(
  ground: Ground,
  network: PlannedNetwork,
  owner: string | undefined,
  link: Link,
  call: CallOptions,
): Promise<BridgeDrift[]> {
  const { bridge } = network;
  const mark = markOf(ground, network);
  const drift: BridgeDrift[] = [];
  if (owner === undefined)
    drift.push({ kind: 'foreign', expected: 'a bridge of Open vSwitch', received: link.kind ?? 'none' });
  else if (!bridge.foreign && owner !== mark) {
    drift.push(notOurs(`one with the external id hyperplug-network=${mark}`, owner === '' ? 'one without' : owner));
  }
  return [...drift, ...(await addressDrift(ground.rtnl, bridge, link, call))];
}

export async function removeOvsBridge(ground: Ground, network: PlannedNetwork, call: CallOptions): Promise<void> {
  const { ovs } = ground;
  const { bridge } = network;
  if (bridge.foreign || (await ovs.owner(bridge.name, call)) !== markOf(ground, network)) return;
  await ovs.removeBridge(bridge.name, call);
}

/** Whose the bridge is, in its external id. */
const markOf = ({ owner }: Ground, { spec }: PlannedNetwork): string =>
  owner === undefined ? spec.name : `${spec.name}@${owner}`;
