import { fieldError, HyperplugError, type IpRange, type NetworkSpec, parseAddress, parseSubnet } from 'hyperplug';
import { capabilities } from './capabilities.js';
import { rangeOf } from './leases.js';

const DEFAULT_MTU = 1500;

/** A network as configured, checked and completed. */
export interface Network {
  readonly spec: NetworkSpec;
  readonly name: string;
  /** Canonical. */
  readonly subnet: string;
  readonly range: IpRange;
  /** The first address. The switch itself answers for it. */
  readonly gateway: string;
  readonly mtu: number;
}

/** @throws NET_SPEC_INVALID naming the field; NOT_SUPPORTED. */
export function checkedNetwork(spec: NetworkSpec): Network {
  const { subnets, mtu, dns } = spec;
  if (spec.allow) throw new HyperplugError('NOT_SUPPORTED', 'network backend switch knows no allow lists');
  if (spec.bridge !== undefined) {
    throw fieldError('NET_SPEC_INVALID', 'bridge', 'none, as this network has no bridge', spec.bridge);
  }
  const [text] = subnets;
  const parsed = text === undefined ? undefined : parseSubnet(text, 'subnets', 'NET_SPEC_INVALID');
  if (!parsed || subnets.length > 1 || parsed.family !== 4 || parsed.prefixLength > 29) {
    throw fieldError('NET_SPEC_INVALID', 'subnets', 'one IPv4 subnet of /29 or larger', subnets);
  }
  const { min, max } = capabilities.mtu;
  if (mtu !== null && (mtu < min || mtu > max)) throw fieldError('NET_SPEC_INVALID', 'mtu', `${min} to ${max}`, mtu);
  for (const server of dns) parseAddress(server, 'dns', 'NET_SPEC_INVALID');
  const range = rangeOf(parsed.key);
  const gateway = range.getFirst().nextIPNumber().toString();
  return { spec, name: spec.name, subnet: parsed.key, range, gateway, mtu: mtu ?? DEFAULT_MTU };
}
