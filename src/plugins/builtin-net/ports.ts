import { isIPv4 } from 'node:net';
import { throwIfAborted } from '../../core/calls.js';
import { fieldError, HyperplugError } from '../../core/errors.js';
import type { PortForward } from '../../core/hypervisor.js';
import type { PortMapping } from '../../core/network.js';
import { guestPortCount, rangeText } from '../../core/pod/ports.js';
import { findPortHolder } from '../../host/port-holder.js';
import { probePort } from '../../host/port-probe.js';

/** QEMU keeps a listening socket for each. */
const MAX_FORWARDS = 1024;

/** @throws NET_SPEC_INVALID, NOT_SUPPORTED. */
export function expandPorts(ports: readonly PortMapping[], guestAddress: string | undefined): readonly PortForward[] {
  const forwards: PortForward[] = [];
  const total = ports.reduce((sum, { count }) => sum + count, 0);
  if (total > MAX_FORWARDS)
    throw fieldError('NET_SPEC_INVALID', 'ports', `at most ${MAX_FORWARDS} ports in all`, total);
  for (const [index, mapping] of ports.entries()) {
    const field = `ports[${index}]`;
    const { protocol, hostAddress, hostPort, guestPort, count } = mapping;
    if (guestPortCount(mapping) !== count) {
      throw unsupported(
        `${field}.guestPort`,
        'one port for each of the host',
        rangeText(guestPort, guestPortCount(mapping)),
      );
    }
    if (protocol === 'sctp') throw unsupported(`${field}.protocol`, 'tcp or udp', protocol);
    if (!isIPv4(hostAddress)) {
      throw unsupported(`${field}.hostAddress`, "an IPv4 address (QEMU's user network forwards no IPv6)", hostAddress);
    }
    if (guestAddress === undefined) {
      throw unsupported(field, 'a NIC with an IPv4 address to forward to', 'one with IPv6 alone');
    }
    checkPorts(`${field}.hostPort`, hostPort, count);
    checkPorts(`${field}.guestPort`, guestPort, count);
    for (let offset = 0; offset < count; offset++) {
      const forward = {
        protocol,
        hostAddress,
        hostPort: hostPort + offset,
        guestAddress,
        guestPort: guestPort + offset,
      };
      const twice = forwards.find((other) => overlap(other, forward));
      if (twice) throw fieldError('NET_SPEC_INVALID', field, 'host ports that are published once', describe(forward));
      forwards.push(forward);
    }
  }
  return forwards;
}

/** @throws NET_PORT_IN_USE with who holds it, HOST_PERMISSION, NET_SPEC_INVALID (no address of this host). */
export async function checkHostPorts(forwards: readonly PortForward[], signal: AbortSignal): Promise<void> {
  for (const forward of forwards) {
    throwIfAborted(signal, 'check of host ports');
    const { protocol, hostAddress, hostPort } = forward;
    const state = await probePort(protocol, hostAddress, hostPort);
    const details = { protocol, hostAddress, hostPort };
    if (state === 'in-use') {
      const holder = await findPortHolder(protocol, hostPort);
      const who = holder ? `process ${holder.pid} (${holder.name})` : 'another program';
      throw portInUse(forward, who, holder ? { ...details, holder } : details);
    }
    if (state === 'forbidden') {
      throw new HyperplugError('HOST_PERMISSION', `port ${describe(forward)} may not be opened by this user`, {
        details,
      });
    }
    if (state === 'no-such-address') {
      throw fieldError('NET_SPEC_INVALID', 'ports.hostAddress', 'an address of this host', hostAddress);
    }
  }
}

export function portInUse(forward: PortForward, who: string, details: Record<string, unknown>): HyperplugError {
  return new HyperplugError('NET_PORT_IN_USE', `port ${describe(forward)} is in use by ${who}`, { details });
}

/** Whether two listeners cannot be there at once. */
export function overlap(a: PortForward, b: PortForward): boolean {
  if (a.protocol !== b.protocol || a.hostPort !== b.hostPort) return false;
  return [a.hostAddress, b.hostAddress].includes('0.0.0.0') || a.hostAddress === b.hostAddress;
}

function describe({ protocol, hostAddress, hostPort }: PortForward): string {
  return `${hostPort}/${protocol} on ${hostAddress}`;
}

function checkPorts(field: string, first: number, count: number): void {
  const ok = Number.isInteger(first) && Number.isInteger(count) && first >= 1 && count >= 1 && first + count <= 65536;
  if (!ok) throw fieldError('NET_SPEC_INVALID', field, 'ports from 1 to 65535', `${first}, ${count} of them`);
}

function unsupported(field: string, expected: string, received: string): HyperplugError {
  return new HyperplugError('NOT_SUPPORTED', `${field}: expected ${expected}, got ${received}`, {
    details: { field, expected, received },
  });
}
