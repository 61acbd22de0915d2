import { fieldError, HyperplugError } from '../../core/errors.js';
import type { BuiltinEndpoint, NicEndpoint, PortForward, VmNic } from '../../core/hypervisor.js';

/** A netdev or device as QMP takes it; the command line's notation is made from the same object. */
export type DeviceProperties = Readonly<Record<string, string | number | boolean>>;

/**
 * Ids in QEMU. They carry slot and NIC, so that an adopting manager reads from QEMU itself what is plugged where.
 * The netdev is named by slot alone: whatever a dead manager left there can be taken away without knowing its NIC.
 */
export const deviceId = (slot: number, nicId: string) => `nic${slot}.${nicId}`;
export const netdevId = (slot: number) => `net${slot}`;

export function parseDeviceId(id: string): { readonly slot: number; readonly nicId: string } | undefined {
  const match = /^nic(\d{1,3})\.([a-z0-9][a-z0-9-]{0,31})$/.exec(id);
  return match ? { slot: Number(match[1]), nicId: match[2] as string } : undefined;
}

/** `tcp:127.0.0.1:8080-10.0.2.15:80`, as `hostfwd=` and hostfwd_add take it. */
export function forwardRule(forward: PortForward): string {
  return `${forwardSource(forward)}-${forward.guestAddress}:${forward.guestPort}`;
}

/** `tcp:127.0.0.1:8080`, as hostfwd_remove takes it. */
export function forwardSource({ protocol, hostAddress, hostPort }: PortForward): string {
  return `${protocol}:${hostAddress}:${hostPort}`;
}

/** @throws NOT_SUPPORTED: QEMU's user network (net/slirp.c) forwards between IPv4 addresses only. */
export function checkForward(forward: PortForward): void {
  for (const field of ['hostAddress', 'guestAddress'] as const) {
    if (/^\d{1,3}(\.\d{1,3}){3}$/.test(forward[field])) continue;
    throw new HyperplugError(
      'NOT_SUPPORTED',
      `${field}: expected an IPv4 address (QEMU's user network forwards no IPv6), got ${forward[field]}`,
      { details: { field, received: forward[field] } },
    );
  }
}

export interface UserNetdev {
  readonly properties: DeviceProperties;
  readonly forwards: readonly string[];
}

/** qapi/net.json, NetdevUserOptions. */
export function userNetdev(endpoint: BuiltinEndpoint, slot: number): UserNetdev {
  const { ipv4, ipv6, restricted } = endpoint;
  for (const forward of endpoint.forwards) checkForward(forward);
  const [prefix, prefixLength] = ipv6 ? ipv6.subnet.split('/') : [];
  return {
    properties: {
      type: 'user',
      id: netdevId(slot),
      ipv4: ipv4 !== undefined,
      ...(ipv4 && { net: ipv4.subnet, host: ipv4.gateway, dns: ipv4.dns, dhcpstart: ipv4.guest }),
      ipv6: ipv6 !== undefined,
      ...(ipv6 && {
        'ipv6-prefix': prefix as string,
        'ipv6-prefixlen': Number(prefixLength),
        'ipv6-host': ipv6.gateway,
        'ipv6-dns': ipv6.dns,
      }),
      restrict: restricted,
    },
    forwards: endpoint.forwards.map(forwardRule),
  };
}

export type TapEndpoint = Extract<NicEndpoint, { kind: 'tap-fd' }>;

/**
 * qapi/net.json, NetdevTapOptions. QEMU asks the tap itself whether it has a vnet header. `fds` are numbers of inherited descriptors, or the names that getfd gave. Without vhost,
 * as it is by default: QEMU would have to open /dev/vhost-net, which its user may not.
 */
export function tapNetdev(slot: number, fds: readonly string[]): DeviceProperties {
  const [first] = fds;
  return {
    type: 'tap',
    id: netdevId(slot),
    ...(fds.length === 1 ? { fd: first as string } : { fds: fds.join(':') }),
  };
}

/** What getfd calls a queue's descriptor. Of a monitor's own: another manager's are not in the way. */
export const tapFdName = (slot: number, queue: number) => `tap${slot}-${queue}`;

/** @throws NOT_SUPPORTED for kinds that QEMU does not take here, VM_SPEC_INVALID a tap without a descriptor for each queue. */
export function checkEndpoint({ id, endpoint, queues }: VmNic): BuiltinEndpoint | TapEndpoint {
  if (endpoint.kind === 'builtin') {
    userNetdev(endpoint, 0);
    return endpoint;
  }
  if (endpoint.kind !== 'tap-fd') {
    const { kind } = endpoint;
    throw new HyperplugError('NOT_SUPPORTED', `NIC ${id}: endpoint: expected builtin or tap-fd, got ${kind}`, {
      details: { field: 'endpoint', expected: ['builtin', 'tap-fd'], received: kind },
    });
  }
  if (endpoint.fds.length === queues) return endpoint;
  throw fieldError(
    'VM_SPEC_INVALID',
    `nics.${id}.endpoint.fds`,
    `one descriptor for each of ${queues} queues`,
    endpoint.fds,
  );
}

export const NIC_DRIVER = 'virtio-net-pci';

/** The control queue, and what goes over it. */
const control = (on: boolean): DeviceProperties => ({
  ctrl_vq: on,
  ctrl_rx: on,
  ctrl_vlan: on,
  ctrl_rx_extra: on,
  ctrl_mac_addr: on,
  ctrl_guest_offloads: on,
  guest_announce: on,
});

/**
 * What every NIC has unless it says otherwise. Said once, on the command line (`-global`): QEMU takes what comes by QMP a byte
 * at a time, with some ten system calls for each, and all of this would be half of what is said of a NIC.
 */
export const NIC_DEFAULTS: DeviceProperties = {
  // No network boot: else the option ROM is read and run.
  romfile: '',
  // With its control queue the guest's driver takes twice as long to come up.
  ...control(false),
};

/** @param defaults its QEMU began with NIC_DEFAULTS. */
export function nicDevice(nic: VmNic, slot: number, bus: DeviceProperties, defaults: boolean): DeviceProperties {
  return {
    driver: NIC_DRIVER,
    id: deviceId(slot, nic.id),
    netdev: netdevId(slot),
    mac: nic.mac,
    host_mtu: nic.mtu,
    ...(defaults ? {} : NIC_DEFAULTS),
    // Several queues are set up over the control queue.
    ...(nic.queues === 1 ? {} : { ...control(true), mq: true, vectors: 2 * nic.queues + 2 }),
    ...bus,
  };
}
