import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import { addressDrift, type BridgeDrift, fitLink } from './bridge.js';
import type { Ground } from './host-nic.js';
import type { PlannedNetwork } from './network.js';
import type { Link } from './rtnl.js';

/** The bridge of Open vSwitch, and its internal interface with the network's addresses. True: made by this call. */
export async function ensureOvsBridge(
  { rtnl, ovs }: Ground,
  network: PlannedNetwork,
  call: CallOptions,
): Promise<boolean> {
  const { attachment, bridge, spec } = network;
  if (attachment.kind !== 'openvswitch') throw new TypeError(`network ${spec.name}: expected openvswitch`);
  const owner = await ovs.owner(bridge.name, call);
  if (owner === undefined && bridge.foreign) throw misfit(network, 'a bridge of Open vSwitch', 'none of that name');
  if (owner !== undefined && owner !== spec.name && !bridge.foreign) {
    throw misfit(
      network,
      `one with the external id hyperplug-network=${spec.name}`,
      owner === '' ? 'one without' : owner,
    );
  }
  const made = bridge.foreign ? false : await ovs.ensureBridge(bridge.name, spec.name, attachment, call);
  try {
    const link = await rtnl.link(bridge.name, call);
    if (!link) throw misfit(network, 'an internal interface of that name', 'none in this network namespace');
    const drift = await ovsDrift({ rtnl, ovs }, network, link, call);
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
  { rtnl, ovs }: Ground,
  { bridge, spec }: PlannedNetwork,
  link: Link,
  call: CallOptions,
): Promise<BridgeDrift[]> {
  const owner = await ovs.owner(bridge.name, call);
  const drift: BridgeDrift[] = [];
  if (owner === undefined)
    drift.push({ kind: 'foreign', expected: 'a bridge of Open vSwitch', received: link.kind ?? 'none' });
  else if (!bridge.foreign && owner !== spec.name) {
    drift.push({ kind: 'foreign', expected: `hyperplug-network=${spec.name}`, received: owner || 'none' });
  }
  return [...drift, ...(await addressDrift(rtnl, bridge, link, call))];
}

export async function removeOvsBridge(
  { ovs }: Ground,
  { bridge, spec }: PlannedNetwork,
  call: CallOptions,
): Promise<void> {
  if (bridge.foreign || (await ovs.owner(bridge.name, call)) !== spec.name) return;
  await ovs.removeBridge(bridge.name, call);
}

function misfit({ bridge, spec }: PlannedNetwork, expected: string, received: string): HyperplugError {
  return new HyperplugError(
    'NET_INIT_FAILED',
    `bridge ${bridge.name} of network ${spec.name}: expected ${expected}, got ${received}`,
    { details: { field: `network.networks.${spec.name}.bridge`, expected, received } },
  );
}
