import type { CallOptions } from '../../core/calls.js';
import { fieldError } from '../../core/errors.js';
import type { NetworkSpec } from '../../core/network.js';
import type { BridgeSpec } from './bridge.js';
import { bridgeName } from './names.js';
import type { NetlinkOptions } from './options.js';
import type { Rtnl } from './rtnl.js';
import { parseSubnet, type Subnet } from './subnet.js';
import { uplinkMtu } from './uplink.js';

/** A configured network with all that follows from it. */
export interface PlannedNetwork {
  readonly spec: NetworkSpec;
  readonly bridge: BridgeSpec;
  readonly subnets: readonly Subnet[];
}

/** IPv6 needs 1280 (RFC 8200 section 5). */
const MIN_MTU_V6 = 1280;

/** @throws NET_SPEC_INVALID naming the field. */
export async function planNetworks(
  specs: readonly NetworkSpec[],
  options: NetlinkOptions,
  rtnl: Rtnl,
  call: CallOptions,
): Promise<Map<string, PlannedNetwork>> {
  const planned = new Map<string, PlannedNetwork>();
  const bridges = new Map<string, string>();
  const uplink = specs.some(({ mtu }) => mtu === null) ? await uplinkMtu(rtnl, options.uplink, call) : 0;
  for (const spec of specs) {
    const field = `network.networks.${spec.name}`;
    const name = spec.bridge ?? bridgeName(spec.name);
    const other = bridges.get(name);
    if (other)
      throw fieldError('NET_SPEC_INVALID', `${field}.bridge`, `a bridge of its own (network ${other} has it)`, name);
    bridges.set(name, spec.name);
    const subnets = spec.subnets.map(parseSubnet);
    const mtu = spec.mtu ?? uplink;
    if (mtu < MIN_MTU_V6 && subnets.some(({ family }) => family === 6)) {
      throw fieldError('NET_SPEC_INVALID', `${field}.mtu`, `at least ${MIN_MTU_V6}, as it has an IPv6 subnet`, mtu);
    }
    const foreign = options.adoptBridges.includes(name);
    planned.set(spec.name, { spec, subnets, bridge: { name, network: spec.name, subnets, mtu, foreign } });
  }
  return planned;
}
