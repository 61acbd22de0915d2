import { isIP } from 'node:net';
import type { CallOptions } from '../../core/calls.js';
import { parseSubnet as checkSubnet } from '../../core/config/subnet.js';
import { fieldError, hasCode } from '../../core/errors.js';
import type { NetworkSpec } from '../../core/network.js';
import type { BridgeSpec } from './bridge.js';
import { netlinkCapabilities } from './capabilities.js';
import { bridgeAlias, bridgeName, tapGroup } from './names.js';
import type { Attachment, NetlinkOptions } from './options.js';
import type { Rtnl } from './rtnl.js';
import { parseSubnet, type Subnet, withGateway } from './subnet.js';
import { uplinkMtu } from './uplink.js';

/** A configured network with all that follows from it. */
export interface PlannedNetwork {
  readonly spec: NetworkSpec;
  /** For macvtap, which has no bridge: the parent's name and MTU. */
  readonly bridge: BridgeSpec;
  readonly subnets: readonly Subnet[];
  readonly attachment: Attachment;
  /** IFLA_GROUP of its taps. */
  readonly group: number;
}

/** IPv6 needs 1280 (RFC 8200 section 5). */
const MIN_MTU_V6 = 1280;
const BRIDGE: Attachment = { kind: 'bridge' };

interface PlanOptions extends NetlinkOptions {
  readonly owner?: string | undefined;
  /** Names of networks; what is wrong with another leaves that one out. undefined: all. */
  readonly only?: readonly string[] | undefined;
  /** Where there is no uplink yet, or not now. undefined: Ethernet's. */
  readonly wayOutMtu?: number | undefined;
  /** As they were planned before. */
  readonly known?: ReadonlyMap<string, PlannedNetwork>;
}

/** @throws NET_SPEC_INVALID naming the field; NET_INIT_FAILED for an uplink that is not there. */
export async function planNetworks(
  specs: readonly NetworkSpec[],
  options: PlanOptions,
  rtnl: Rtnl,
  call: CallOptions,
): Promise<Map<string, PlannedNetwork>> {
  const asked = ({ name }: NetworkSpec) => options.only?.includes(name) ?? true;
  const sound = specs.filter((spec) => {
    try {
      checkSpec(spec);
      return true;
    } catch (error) {
      if (asked(spec)) throw error;
      return false;
    }
  });
  const planned = new Map<string, PlannedNetwork>();
  for (const spec of sound) {
    try {
      planned.set(spec.name, await planNetwork(spec, [...planned.values()], options, rtnl, call));
    } catch (error) {
      if (asked(spec) || !hasCode(error, 'NET_SPEC_INVALID', 'NET_INIT_FAILED')) throw error;
      const before = options.known?.get(spec.name);
      if (before) planned.set(spec.name, before);
      // It may stand, and be one to be kept apart from; without its uplink its MTU alone is not known.
      else if (hasCode(error, 'NET_INIT_FAILED')) {
        const plan = await planNetwork({ ...spec, mtu: MIN_MTU_V6 }, [...planned.values()], options, rtnl, call);
        planned.set(spec.name, { ...plan, spec });
      }
    }
  }
  return planned;
}

async function planNetwork(
  spec: NetworkSpec,
  others: readonly PlannedNetwork[],
  options: PlanOptions,
  rtnl: Rtnl,
  call: CallOptions,
): Promise<PlannedNetwork> {
  const field = `network.networks.${spec.name}`;
  const attachment = options.attach[spec.name] ?? BRIDGE;
  const name = attachment.kind === 'macvtap' ? attachment.parent : (spec.bridge ?? bridgeName(spec.name));
  const other = others.findLast(({ bridge }) => bridge.name === name);
  if (other && attachment.kind !== 'macvtap') {
    const expected = `a bridge of its own (network ${other.spec.name} has it)`;
    throw fieldError('NET_SPEC_INVALID', `${field}.bridge`, expected, name);
  }
  const foreign = options.adoptBridges.includes(name);
  const link = foreign || attachment.kind === 'macvtap' ? await rtnl.link(name, call) : undefined;
  const has = link && foreign ? await rtnl.addresses(link.index, call) : [];
  // A bridge of the user's has the address that it has.
  const subnets = spec.subnets
    .map((text) => withGateway(parseSubnet(text), has))
    .map((subnet) =>
      attachment.kind === 'macvtap' ? withGateway(subnet, gatewaysOf(attachment.gateways, subnet)) : subnet,
    );
  const mtu = spec.mtu ?? link?.mtu ?? (await uplinkMtu(rtnl, options.uplink, call, options.wayOutMtu));
  if (mtu < MIN_MTU_V6 && subnets.some(({ family }) => family === 6)) {
    throw fieldError('NET_SPEC_INVALID', `${field}.mtu`, `at least ${MIN_MTU_V6}, as it has an IPv6 subnet`, mtu);
  }
  const bridge = { name, network: spec.name, alias: bridgeAlias(spec.name, options.owner), subnets, mtu, foreign };
  return { spec, subnets, bridge, attachment, group: tapGroup(spec.name) };
}

const gatewaysOf = (gateways: readonly string[], { prefixLength }: Subnet) =>
  gateways.map((address) => ({ address, prefixLength }));

function checkSpec({ name, subnets, mtu, dns, allow }: NetworkSpec): void {
  const field = (what: string) => `network.networks.${name}.${what}`;
  for (const list of ['internal', 'external'] as const) {
    for (const [at, text] of (allow?.[list] ?? []).entries()) cidr(field(`allow.${list}[${at}]`), text);
  }
  const known = subnets.map((text, at) => cidr(field(`subnets[${at}]`), text));
  if (known.length === 0 || new Set(known.map(({ family }) => family)).size !== known.length) {
    throw fieldError('NET_SPEC_INVALID', field('subnets'), 'one subnet, or one of each family', subnets);
  }
  for (const [at, { family, prefixLength, text }] of known.entries()) {
    const longest = family === 4 ? 31 : 127;
    if (prefixLength <= longest) continue;
    throw fieldError(
      'NET_SPEC_INVALID',
      field(`subnets[${at}]`),
      `a prefix of at most ${longest}: a gateway and a pod`,
      text,
    );
  }
  const { min, max } = netlinkCapabilities.mtu;
  if (mtu !== null && !(Number.isInteger(mtu) && mtu >= min && mtu <= max)) {
    throw fieldError('NET_SPEC_INVALID', field('mtu'), `${min} to ${max}`, mtu);
  }
  const bad = dns.find((server) => isIP(server) === 0);
  if (bad !== undefined) throw fieldError('NET_SPEC_INVALID', field('dns'), 'IP addresses', bad);
}

function cidr(field: string, text: string) {
  const parsed = checkSubnet(text);
  if ('expected' in parsed) throw fieldError('NET_SPEC_INVALID', field, parsed.expected, text);
  return parsed;
}
