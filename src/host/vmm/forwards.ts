import { HyperplugError } from '../../core/errors.js';
import type { PortForward } from '../../core/hypervisor.js';
import { probePort } from '../port-probe.js';

/** net.ipv4.ip_unprivileged_port_start, by default. */
export const PRIVILEGED_PORTS = 1024;

/** `privileged`: whoever will open the ports may open those below 1024, as far as we may. */
export interface ForwardRights {
  readonly privileged: boolean;
}

/**
 * Why a forward cannot be set up, as read from the system; of the first that cannot. undefined: nothing stands in the way.
 * NET_PORT_IN_USE, HOST_PERMISSION (a port below 1024), NET_SPEC_INVALID (no address of this host).
 */
export async function explainForward(
  forwards: readonly PortForward[],
  { privileged }: ForwardRights = { privileged: false },
): Promise<HyperplugError | undefined> {
  for (const forward of forwards) {
    const { protocol, hostAddress, hostPort } = forward;
    const state = await probePort(protocol, hostAddress, hostPort).catch(() => 'free');
    const details = { protocol, hostAddress, hostPort };
    const where = `${hostPort}/${protocol} on ${hostAddress}`;
    if (state === 'in-use') {
      return new HyperplugError('NET_PORT_IN_USE', `port ${where} is in use by another program`, { details });
    }
    // Free for us, but the hypervisor has no such privilege of its own.
    if (state === 'forbidden' || (state === 'free' && hostPort < PRIVILEGED_PORTS && !privileged)) {
      return new HyperplugError(
        'HOST_PERMISSION',
        `port ${where} may not be opened by the user the hypervisor runs as`,
        {
          details,
        },
      );
    }
    if (state === 'no-such-address') {
      return new HyperplugError('NET_SPEC_INVALID', `hostAddress: ${hostAddress} is no address of this host`, {
        details: { field: 'hostAddress', ...details },
      });
    }
  }
  return undefined;
}
