import type { CallOptions } from '../calls.js';
import { combineErrors } from '../errors.js';
import type { NetworkBackend } from '../network.js';
import { clearInGuest, detach, readBack } from './guest-state.js';
import { LOOPBACK } from './interface-spec.js';
import type { PodNetworkParts } from './pod-network.js';
import type { NicRecord } from './record.js';

/**
 * Guest, VM, host device, address, record: each only when the one before is known to be gone. What fails stays as it is,
 * and calling again goes on from there.
 */
export async function removeNic(
  { services, vm, table }: PodNetworkParts,
  id: string,
  call: CallOptions,
): Promise<void> {
  const { backend } = services;
  await table.inTurn(id, async () => {
    table.find(id);
    const nic = await table.set(id, { state: 'removing' }, call);
    if (nic.kind === 'loopback') {
      await clearLoopback({ services, vm, table }, id, call);
      await table.drop(id, call, [table.event('nic-removed', id)]);
      return;
    }
    const errors: unknown[] = [];
    const collect = (error: unknown) => void errors.push(error);
    let unseen = false;
    const look = async () => {
      try {
        await vm.explained(() => readBack(vm.session, { absent: [nic] }, table.list(), call));
      } catch (error) {
        unseen = true;
        collect(error);
      }
    };
    let looked: Promise<void> | undefined;
    const onUnplugged = () => {
      looked ??= look();
    };
    try {
      await vm.explained(async () => {
        await clearInGuest(vm.session, nic, call);
        await detach(vm, nic, { ...call, onUnplugged });
      });
    } catch (error) {
      await looked;
      throw error;
    }
    // The VM has let go of it, so nobody can use its address any more: the guest is asked whether it sees that while the host's side goes.
    await Promise.all([looked ?? look(), giveBack(backend, nic, call).catch(collect)]);
    if (unseen && errors.length === 1) throw errors[0];
    if (errors.length > 0) throw combineErrors('POD_CLEANUP_FAILED', `NIC ${id} was not removed wholly`, errors);
    await table.drop(id, call, [table.event('nic-removed', id)]);
  });
}

/** The address only when no device has it. */
async function giveBack(backend: NetworkBackend, { host, lease }: NicRecord, call: CallOptions): Promise<void> {
  if (host) await backend.detach(host, call);
  if (lease) await backend.releaseAddress({ ...lease, addresses: [] }, call);
}

/** The link itself stays, with the addresses that are its own. */
async function clearLoopback({ vm, table }: PodNetworkParts, id: string, call: CallOptions): Promise<void> {
  const { mac, otherAddresses } = table.find(id);
  const network = await readBack(vm.session, {}, table.list(), call);
  const lo = network?.links.find(({ name }) => name === LOOPBACK);
  const removeAddresses = otherAddresses.filter(
    ({ address }) => !lo || lo.addresses.some((each) => each.address === address),
  );
  await vm.session.setupInterface({ mac, expectedName: LOOPBACK, addAddresses: [], removeAddresses }, call);
}
