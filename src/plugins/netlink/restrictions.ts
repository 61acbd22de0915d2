import { HyperplugError } from '../../core/errors.js';
import type { Firewall, Restriction } from '../../core/firewall.js';
import type { AddressLease, AllowList } from '../../core/network.js';
import type { PlannedNetwork } from './network.js';

/** @throws NOT_SUPPORTED nothing on this host could keep anybody out. */
export function restrictionsOf(
  { spec, attachment }: PlannedNetwork,
  { network, podId, nicId, addresses }: AddressLease,
  allow: AllowList | undefined,
  { name, capabilities }: Firewall,
): Restriction[] {
  if (!allow) return [];
  if (attachment.kind === 'macvtap' || !capabilities.restricts) {
    const why =
      attachment.kind === 'macvtap'
        ? `packets of network ${spec.name} do not pass this host (macvtap)`
        : `firewall ${name} restricts nobody`;
    throw new HyperplugError('NOT_SUPPORTED', `portmappingWhiteLists: expected none, as ${why}`, {
      details: { field: 'portmappingWhiteLists', received: allow },
    });
  }
  return addresses.map(({ address }) => ({ id: `${podId}/${nicId}`, network, guestAddress: address, allow }));
}
