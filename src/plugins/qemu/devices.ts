import { HyperplugError } from '../../core/errors.js';
import type { BuiltinEndpoint, PortForward, VmNic } from '../../core/hypervisor.js';

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

// With its control queue the guest's driver takes twice as long to come up.
const LIGHT: DeviceProperties = {
  ctrl_vq: false,
  ctrl_rx: false,
  ctrl_vlan: false,
  ctrl_rx_extra: false,
  ctrl_mac_addr: false,
  ctrl_guest_offloads: false,
  guest_announce: false,
};

export function nicDevice(nic: VmNic, slot: number, bus: DeviceProperties): DeviceProperties {
  return {
    driver: 'virtio-net-pci',
    id: deviceId(slot, nic.id),
    netdev: netdevId(slot),
    mac: nic.mac,
    host_mtu: nic.mtu,
    // No network boot: else the option ROM is read and run.
    romfile: '',
    // Several queues are set up over the control queue.
    ...(nic.queues === 1 ? LIGHT : {}),
    ...bus,
  };
}
