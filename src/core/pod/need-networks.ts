import type { CallOptions } from '../calls.js';
import type { PodNetworkParts } from './pod-network.js';

/** Those of these NICs initialised in this process. */
export async function needNetworks(
  { services, table }: PodNetworkParts,
  ids: readonly string[],
  call: CallOptions,
): Promise<void> {
  const networks = table.list().flatMap(({ id, lease }) => (lease && ids.includes(id) ? lease.network : []));
  if (networks.length > 0) await services.initNetworks(networks, call);
}
