export { AddressSpace, type Holding } from './address-space.js';
export {
  type Family,
  familyOfAddress,
  formatAddress,
  formatIpv4,
  formatIpv6,
  type ParsedAddress,
  parseAddress,
  parseAddressWithPrefix,
  parseIpv4,
  parseIpv6,
} from './address-text.js';
export { SHORTEST_PREFIX } from './limits.js';
export {
  layoutFromText,
  layoutOf,
  type PoolLayout,
  parseRange,
  parseSubnet,
  type Subnet,
  sameLayout,
  subnetOf,
} from './subnet.js';
