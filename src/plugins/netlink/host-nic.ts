import { close } from 'node:fs';
import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { HostNic, HostNicRecord, NicPlan } from '../../core/network.js';
import { refusedWith } from './errno.js';
import { tapAlias, tapName } from './names.js';
import type { PlannedNetwork } from './network.js';
import type { Rtnl } from './rtnl.js';
import { openTap, type Tap } from './tap.js';

/** What the record of a NIC's host side holds beside the contract's fields. */
export interface TapRecord {
  readonly tap: string;
  readonly alias: string;
  readonly bridge: string;
}

/**
 * A tap on its network's bridge, named by alias, with the MTU of the network, up. Nothing is left of one that could not
 * be enslaved: closing it is deleting it.
 * @throws NET_FULL the bridge has no free port; NET_KERNEL_REFUSED.
 */
export async function attachTap(
  rtnl: Rtnl,
  network: PlannedNetwork,
  plan: NicPlan,
  netns: string | undefined,
  call: CallOptions,
): Promise<{ tap: Tap; record: TapRecord }> {
  const bridge = await rtnl.link(network.bridge.name, call);
  if (!bridge) {
    throw new HyperplugError(
      'NET_INIT_FAILED',
      `bridge ${network.bridge.name} of network ${network.spec.name} is gone: net repair makes it again`,
    );
  }
  const name = tapName(plan.podId, plan.nicId);
  const alias = tapAlias(plan.podId, plan.nicId);
  const tap = openTap(name, plan.queues, netns);
  try {
    const link = await rtnl.link(name, call);
    if (!link) throw new HyperplugError('NET_KERNEL_REFUSED', `tap ${name} is not there after it was made`);
    await rtnl.changeLink(link.index, { master: bridge.index, mtu: plan.mtu, alias, up: true }, call);
    if (network.spec.isolated) await rtnl.isolatePort(link.index, true, call);
    return { tap, record: { tap: name, alias, bridge: network.bridge.name } };
  } catch (error) {
    await closeAll(tap.fds);
    if (!refusedWith(error, 'EXFULL')) throw error;
    throw new HyperplugError('NET_FULL', `bridge ${network.bridge.name}: all 1023 ports are taken`, {
      cause: error,
      details: { network: network.spec.name, bridge: network.bridge.name },
    });
  }
}

export function hostNicOf(
  backend: string,
  plan: NicPlan,
  tap: Tap,
  data: TapRecord,
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
    endpoint: { kind: 'tap-fd', fds: tap.fds, vnetHdr: true },
    record,
    handedOver: () => {
      handedOver ??= closeAll(tap.fds).then(onHandedOver);
      return handedOver;
    },
  };
}

/** Closing a tap's last descriptor waits for RCU, so it is never done on the event loop. */
export async function closeAll(fds: readonly number[]): Promise<void> {
  await Promise.all(fds.map((fd) => new Promise<void>((resolve) => close(fd, () => resolve()))));
}
