import { isIPv6 } from 'node:net';
import type { AddressPool } from '../../core/address-pool.js';
import type { CallOptions } from '../../core/calls.js';
import { fieldError } from '../../core/errors.js';
import type { AddressLease, AddressRequest, InterfaceAddress } from '../../core/network.js';
import { UndoStack } from '../../core/undo.js';
import { hostNameServers } from './name-servers.js';
import type { PlannedNetwork } from './network.js';

const owner = (podId: string, nicId: string): string => `${podId}/${nicId}`;

/** All of the asked-for addresses or none; without any, one of each family. */
export async function takeAddresses(
  pool: AddressPool,
  { spec, subnets, bridge }: PlannedNetwork,
  request: AddressRequest,
  call: CallOptions,
  nameServers: readonly string[] = hostNameServers(),
): Promise<AddressLease> {
  const { podId, nicId } = request;
  const undo = new UndoStack();
  const addresses: InterfaceAddress[] = [];
  // At once: they share a commit.
  const requests = wanted(request, subnets).map(async ({ subnet, address }) => {
    const given = await pool.request(subnet.range, address, owner(podId, nicId), call);
    undo.push(`address ${given.address}`, (undoCall) => pool.release(subnet.range, given.address, undoCall));
    return { address: given.address, prefixLength: given.prefixLength };
  });
  const refused: unknown[] = [];
  for (const outcome of await Promise.allSettled(requests)) {
    if (outcome.status === 'fulfilled') addresses.push(outcome.value);
    else refused.push(outcome.reason);
  }
  if (refused.length > 0) throw await undo.fail('POD_CLEANUP_FAILED', `addresses of ${podId}/${nicId}`, refused[0]);
  const families = new Set(addresses.map(({ address }) => (isIPv6(address) ? 6 : 4)));
  return {
    network: request.network,
    podId,
    nicId,
    addresses,
    gateways: subnets.filter(({ family }) => families.has(family)).map(({ gateway }) => gateway),
    dns: spec.dns.length > 0 ? spec.dns : nameServers,
    mtu: bridge.mtu,
  };
}

/** Those of the lease that its NIC still holds; of a lease without addresses all that it holds. */
export async function giveAddresses(
  pool: AddressPool,
  network: PlannedNetwork | undefined,
  { podId, nicId, addresses }: AddressLease,
  call: CallOptions,
): Promise<void> {
  const mine = owner(podId, nicId);
  if (addresses.length === 0 || !network) {
    await pool.releaseOwner(mine, call);
    return;
  }
  await Promise.all(
    network.subnets.map(async ({ range, family }) => {
      const doomed = addresses.filter(({ address }) => isIPv6(address) === (family === 6));
      if (doomed.length === 0) return;
      const held = (await pool.list(range, call)).filter((one) => one.owner === mine);
      const still = doomed.filter(({ address }) => held.some((one) => one.address === address));
      await Promise.all(still.map(({ address }) => pool.release(range, address, call)));
    }),
  );
}

/** Which subnet each address comes from. @throws IPAM_ADDRESS_OUT_OF_RANGE for an address of no subnet. */
function wanted({ addresses, network }: AddressRequest, subnets: PlannedNetwork['subnets']) {
  if (addresses.length === 0) return subnets.map((subnet) => ({ subnet, address: undefined }));
  return addresses.map((address) => {
    const subnet = subnets.find(({ family }) => (family === 6) === address.includes(':'));
    if (subnet) return { subnet, address };
    const expected = `an address of ${subnets.map(({ cidr }) => cidr).join(' or ')} (network ${network})`;
    throw fieldError('IPAM_ADDRESS_OUT_OF_RANGE', 'ip', expected, address);
  });
}
