import { HyperplugError } from '../../core/errors.js';
import type { PortForward } from '../../core/hypervisor.js';
import { probePort } from '../../host/port-probe.js';
import { forwardSource } from './devices.js';

/** net.ipv4.ip_unprivileged_port_start, by default. */
export const PRIVILEGED_PORTS = 1024;

/**
 * Why QEMU could not set up a forward. It says only which one, and the reason is read from the system: NET_PORT_IN_USE,
 * HOST_PERMISSION (a port below 1024), else undefined.
 */
export async function explainForward(forwards: readonly PortForward[]): Promise<HyperplugError | undefined> {
  for (const forward of forwards) {
    const { protocol, hostAddress, hostPort } = forward;
    const state = await probePort(protocol, hostAddress, hostPort).catch(() => 'free');
    const details = { protocol, hostAddress, hostPort };
    const where = `${hostPort}/${protocol} on ${hostAddress}`;
    if (state === 'in-use') {
      return new HyperplugError('NET_PORT_IN_USE', `port ${where} is in use by another program`, { details });
    }
    // Free for us, but QEMU has no such privilege of its own.
    if (state === 'forbidden' || (state === 'free' && hostPort < PRIVILEGED_PORTS)) {
      return new HyperplugError('HOST_PERMISSION', `port ${where} may not be opened by the user QEMU runs as`, {
        details,
      });
    }
    if (state === 'no-such-address') {
      return new HyperplugError('NET_SPEC_INVALID', `hostAddress: ${hostAddress} is no address of this host`, {
        details: { field: 'hostAddress', ...details },
      });
    }
  }
  return undefined;
}

/** The forwards that QEMU's words are about; all of them if it names none. */
export function forwardsNamed(words: string, forwards: readonly PortForward[]): readonly PortForward[] {
  const named = forwards.filter((forward) => words.includes(`'${forwardSource(forward)}-`));
  return named.length > 0 ? named : forwards;
}

/** net/slirp.c: "Could not set up host forwarding rule 'tcp:127.0.0.1:80-10.0.2.15:80'". */
export function tellsOfForward(words: string): boolean {
  return /could not set up host forwarding rule/i.test(words);
}
