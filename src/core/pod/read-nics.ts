import type { GuestNic, GuestSession } from '../agent.js';
import type { CallOptions } from '../calls.js';
import type { PodNic } from './types.js';

/**
 * The pod's NICs with what the guest's kernel says of them now: found by MAC, the loopback by its name. Links that are
 * the guest's own are left out.
 * @throws NOT_SUPPORTED the agent cannot read back.
 */
export async function readNics(
  session: GuestSession,
  nics: readonly PodNic[],
  options: CallOptions,
): Promise<readonly PodNic[]> {
  const { links } = await session.readNetwork(options);
  const find = (nic: PodNic): GuestNic | undefined =>
    links.find((link) => (nic.kind === 'loopback' ? link.name === 'lo' : link.mac === nic.mac));
  return nics.map((nic) => ({ ...nic, guest: find(nic) ?? null }));
}
