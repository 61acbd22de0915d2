import type { GuestNic } from '../agent.js';
import { type CallOptions, throwIfAborted } from '../calls.js';
import { concurrently } from '../concurrently.js';
import { fieldError } from '../errors.js';
import type { NicEndpointKind, VmNic } from '../hypervisor.js';
import { randomMac } from '../mac.js';
import type { AddressLease, HostNic, NetworkBackend } from '../network.js';
import type { UndoStack } from '../undo.js';
import type { NicRecord } from './record.js';
import type { InterfaceSpec } from './spec.js';
import type { PodNic } from './types.js';

/** A NIC whose host side is there. */
export interface PreparedNic {
  readonly record: NicRecord & { readonly lease: AddressLease };
  readonly host: HostNic;
  readonly vmNic: VmNic;
  readonly name: string | undefined;
}

/** A NIC as users see it. */
export function podNic(record: NicRecord, guest?: GuestNic): PodNic {
  const { id, kind, mac, name, mtu, lease, otherAddresses, ports } = record;
  const addresses = [...(lease?.addresses ?? []), ...otherAddresses];
  return { id, kind, mac, name, mtu, addresses, lease, ports, ...(guest && { guest }) };
}

/** What a NIC record says before anything has been made for it. */
export function plannedNic(spec: InterfaceSpec, podId: string): NicRecord {
  return {
    id: spec.id,
    kind: 'network',
    state: 'adding',
    mac: spec.mac ?? randomMac(),
    name: spec.name ?? null,
    mtu: 0,
    otherAddresses: [],
    // An undo of this lease gives back whatever this NIC turns out to hold.
    lease: { network: spec.network, podId, nicId: spec.id, addresses: [], gateways: [], dns: [], mtu: 0 },
    ports: spec.ports,
    host: null,
  };
}

/** Addresses, then host devices, of all NICs at once. Each step's undo is pushed before it runs. */
export function prepareNics(
  backend: NetworkBackend,
  endpoint: NicEndpointKind,
  nics: readonly { readonly spec: InterfaceSpec; readonly planned: NicRecord }[],
  undo: UndoStack,
  options: CallOptions,
): Promise<PreparedNic[]> {
  return concurrently(
    nics.map(({ spec, planned }) => async (call) => {
      const { network, podId, nicId } = planned.lease as AddressLease;
      let lease = planned.lease as AddressLease;
      undo.push(`address of ${spec.id}`, (undoCall) => backend.releaseAddress(lease, undoCall));
      lease = await backend.allocateAddress({ network, podId, nicId, addresses: spec.addresses }, call);
      const mtu = spec.mtu ?? lease.mtu;
      const { min, max } = backend.capabilities.mtu;
      if (mtu < min || mtu > max) {
        throw fieldError('POD_SPEC_INVALID', `interfaces.${spec.id}.mtu`, `${min} to ${max} (${backend.name})`, mtu);
      }
      throwIfAborted(call.signal, `prepare NIC ${spec.id}`);
      const plan = {
        podId,
        nicId,
        mac: planned.mac,
        mtu,
        queues: 1,
        lease: { ...lease, mtu },
        ports: spec.ports,
        endpoint,
      };
      const host = await backend.attach(plan, call);
      undo.push(`host side of ${spec.id}`, (undoCall) => backend.detach(host.record, undoCall));
      const vmNic: VmNic = { id: spec.id, mac: planned.mac, mtu, queues: 1, endpoint: host.endpoint };
      return {
        record: { ...planned, state: 'ready', mtu, lease: plan.lease, host: host.record },
        host,
        vmNic,
        name: spec.name,
      };
    }),
    options,
  );
}
