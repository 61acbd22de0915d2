import type { AddressLease, HostNic, PortMapping } from '../../src/core/network.js';
import { type Bench, callFor, networkSpec, startBackend } from '../../test/support/netlink-backend.js';
import { settle, timed } from '../harness/time.js';

export const PUBLISHED: PortMapping = {
  protocol: 'tcp',
  hostAddress: '0.0.0.0',
  hostPort: 8080,
  guestPort: 80,
  count: 1,
};

/** The netlink backend in this process's namespace, its network made, its state in `directory`. */
export async function ourBackend(directory: string): Promise<Bench> {
  const bench = await startBackend({ namespace: { path: undefined }, directory });
  await bench.backend.init([networkSpec()], callFor());
  return bench;
}

let serial = 0;

/** Times of the host side of one NIC, which is removed again, untimed. */
export async function nicTimes(
  { backend }: Bench,
  ports: readonly PortMapping[],
): Promise<{ readonly allocationMs: number; readonly attachmentMs: number }> {
  const podId = `bench-${serial++}`;
  await settle();
  const request = { network: 'default', podId, nicId: 'n', addresses: [] };
  // Who makes a NIC has the signal already.
  const allocation = callFor();
  let lease: AddressLease | undefined;
  const allocationMs = await timed(async () => {
    lease = await backend.allocateAddress(request, allocation);
  });
  if (!lease) throw new Error('no lease');
  const common = { podId, nicId: 'n', mac: '02:00:00:00:00:01', queues: 1 } as const;
  const plan = { ...common, mtu: lease.mtu, lease, ports, endpoint: 'tap-fd' } as const;
  const call = callFor();
  let nic: HostNic | undefined;
  const attachmentMs = await timed(async () => {
    nic = await backend.attach(plan, call);
  });
  if (nic) await backend.detach(nic.record, callFor());
  await nic?.handedOver();
  await backend.releaseAddress(lease, callFor());
  return { allocationMs, attachmentMs };
}
