import type { CallOptions } from '../calls.js';
import { HyperplugError } from '../errors.js';
import type { HostNicRecord, NicTrace, PortMapping } from '../network.js';
import { attempt } from './findings.js';
import type { GcRun } from './gc.js';
import type { GcServices } from './services.js';
import type { GcFinding } from './types.js';

/** Device and ports, then the addresses. One finding for each thing, all with the outcome of the whole. */
export async function removeNic(
  { pods: { backend } }: GcServices,
  { podId, nicId, network, devices, addresses, ports }: NicTrace,
  why: string,
  run: GcRun,
  call: CallOptions,
): Promise<GcFinding[]> {
  const whose = { pod: podId, nic: nicId, why };
  const things = [
    ...devices.map((id) => ({ kind: 'device', id, ...whose }) as const),
    ...ports.map((port) => ({ kind: 'port', id: portText(port), ...whose }) as const),
    ...addresses.map((id) => ({ kind: 'address', id, ...whose }) as const),
  ];
  const [first, ...others] = things;
  if (!first) return [];
  const outcome = await attempt(first, 'removed', run.dryRun, async () => {
    await backend.detach(unmade(backend.name, network ?? '', podId, nicId), call);
    const lease = { network: network ?? '', podId, nicId, addresses: [], gateways: [], dns: [], mtu: 0 };
    await backend.releaseAddress(lease, call);
    const left = (await backend.traces?.(call))?.find((trace) => trace.podId === podId && trace.nicId === nicId);
    if (left) throw new HyperplugError('POD_CLEANUP_FAILED', `of NIC ${podId}/${nicId} there is still: ${words(left)}`);
  });
  const { action, error } = outcome;
  return [outcome, ...others.map((thing) => ({ ...thing, action, ...(error && { error }) }))];
}

const words = ({ devices, addresses, ports }: NicTrace) =>
  [...devices, ...addresses, ...ports.map(portText)].join(', ');

const unmade = (backend: string, network: string, podId: string, nicId: string): HostNicRecord => ({
  version: 1,
  backend,
  network,
  podId,
  nicId,
  data: null,
});

export const portText = ({ hostAddress, hostPort, protocol, count }: PortMapping): string =>
  `${hostAddress}:${hostPort}${count > 1 ? `-${hostPort + count - 1}` : ''}/${protocol}`;
