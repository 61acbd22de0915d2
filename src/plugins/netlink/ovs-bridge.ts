import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import { addressDrift, type BridgeDrift, fitLink } from './bridge.js';
import type { Ground } from './host-nic.js';
import type { PlannedNetwork } from './network.js';
import type { Link } from './rtnl.js';

/** The bridge of Open vSwitch, and its internal interface with the network's addresses. True: made by this call. */
export async function ensureOvsBridge(ground: Ground, network: PlannedNetwork, call: CallOptions): Promise<boolean> {
  const { rtnl, ovs } = ground;
  const { attachment, bridge, spec } = network;
  if (attachment.kind !== 'openvswitch') throw new TypeError(`network ${spec.name}: expected openvswitch`);
  const owner = await ovs.owner(bridge.name, call);
  if (owner === undefined && bridge.foreign) throw misfit(network, 'a bridge of Open vSwitch', 'none of that name');
  const mark = markOf(ground, network);
  if (owner !== undefined && owner !== mark && !bridge.foreign) {
    throw misfit(network, `one with the external id hyperplug-network=${mark}`, owner === '' ? 'one without' : owner);
  }
  const made = bridge.foreign ? false : await ovs.ensureBridge(bridge.name, mark, attachment, call);
  try {
    const link = await rtnl.link(bridge.name, call);
    if (!link) throw misfit(network, 'an internal interface of that name', 'none in this network namespace');
    const drift = await ovsDrift(ground, network, link, call);
    const fatal = bridge.foreign ? drift[0] : drift.find(({ kind }) => kind === 'foreign');
    if (fatal) throw misfit(network, fatal.expected, fatal.received);
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
  const { rtnl, ovs } = ground;
  const { bridge } = network;
  const mark = markOf(ground, network);
  const owner = await ovs.owner(bridge.name, call);
  const drift: BridgeDrift[] = [];
  if (owner === undefined)
    drift.push({ kind: 'foreign', expected: 'a bridge of Open vSwitch', received: link.kind ?? 'none' });
  else if (!bridge.foreign && owner !== mark) {
    drift.push({ kind: 'foreign', expected: `hyperplug-network=${mark}`, received: owner || 'none' });
  }
  return [...drift, ...(await addressDrift(rtnl, bridge, link, call))];
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

function misfit({ bridge, spec }: PlannedNetwork, expected: string, received: string): HyperplugError {
  return new HyperplugError(
    'NET_INIT_FAILED',
    `bridge ${bridge.name} of network ${spec.name}: expected ${expected}, got ${received}`,
    { details: { field: `network.networks.${spec.name}.bridge`, expected, received } },
  );
}
