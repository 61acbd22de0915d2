import { isIPv6 } from 'node:net';
import type { CallOptions } from '../../core/calls.js';
import { fieldError, HyperplugError } from '../../core/errors.js';
import type { Firewall, PublishedPort } from '../../core/firewall.js';
import type { HostForwards } from '../../core/host-forwards.js';
import type { AddressLease, NicPlan, PortMapping } from '../../core/network.js';
import { guestPortCount, rangeText } from '../../core/pod/ports.js';
import { UndoStack } from '../../core/undo.js';
import { forgetUdpFlows } from './conntrack.js';
import type { HostPorts } from './host-ports.js';
import type { PlannedNetwork } from './network.js';

const LOOPBACK_6 = '::1';

/**
 * A mapping leads to the NIC that it was declared on: to its address of the family that the host address has.
 * @throws NET_SPEC_INVALID the NIC has no address of that family, or a port is none; NOT_SUPPORTED.
 */
export function publishedPorts(
  { spec, attachment }: PlannedNetwork,
  lease: AddressLease,
  mappings: readonly PortMapping[],
  firewall: Firewall,
): PublishedPort[] {
  if (mappings.length === 0) return [];
  if (attachment.kind === 'macvtap') {
    throw notSupported(`ports: expected none in network ${spec.name}, whose packets do not pass this host (macvtap)`);
  }
  if (!firewall.capabilities.enforces) {
    throw notSupported(
      `ports: expected a firewall with rules, as ports are published by them; firewall.driver is ${firewall.name}`,
    );
  }
  return mappings.map((mapping) => {
    const { protocol, hostAddress, hostPort, guestPort, count } = mapping;
    const guestCount = guestPortCount(mapping);
    if (hostAddress === LOOPBACK_6) {
      throw notSupported(
        `hostAddress: expected another than ${LOOPBACK_6}: Linux routes no packets of the IPv6 loopback (127.0.0.1 works, and :: is all other addresses)`,
      );
    }
    if (!firewall.capabilities.protocols.includes(protocol)) {
      throw notSupported(`protocol: expected one of ${firewall.capabilities.protocols.join(', ')}, got ${protocol}`);
    }
    for (const [field, first, ports] of [
      ['hostPort', hostPort, count],
      ['guestPort', guestPort, guestCount],
    ] as const) {
      if (first >= 1 && ports >= 1 && first + ports <= 65_536) continue;
      throw fieldError('NET_SPEC_INVALID', field, 'ports from 1 to 65535', `${first}, ${ports} of them`);
    }
    if (guestCount !== count && count > 1) {
      throw fieldError('NET_SPEC_INVALID', 'guestCount', `${count}, as count, or a count of 1`, guestCount);
    }
    if (guestCount !== count && !firewall.capabilities.publishToAny) {
      throw notSupported(
        `guestPort: expected one for hostPort ${hostPort}, as firewall ${firewall.name} leads a port to one other, got ${rangeText(guestPort, guestCount)}`,
      );
    }
    const target = lease.addresses.find(({ address }) => isIPv6(address) === isIPv6(hostAddress));
    if (target) {
      const id = portId(lease.podId, lease.nicId, mapping);
      return { id, network: lease.network, mapping, guestAddress: target.address };
    }
    const [missing, expected] = isIPv6(hostAddress)
      ? ['IPv6', 'an IPv4 address (0.0.0.0: all)']
      : ['IPv4', 'an IPv6 address (::, or [::] before a port: all)'];
    throw fieldError(
      'NET_SPEC_INVALID',
      'hostAddress',
      `${expected}, as the NIC has no ${missing} address`,
      hostAddress,
    );
  });
}

export const portId = (podId: string, nicId: string, { protocol, hostAddress, hostPort }: PortMapping): string =>
  `${podId}/${nicId}/${protocol}/${hostAddress}/${hostPort}`;

/** The ways in from outside: rules, and sockets that keep others from the same ports. Callers hold the lock of the networks. */
export class Publisher {
  constructor(
    private readonly firewall: Firewall,
    private readonly hostPorts: HostPorts,
    private readonly netns: string | undefined,
    private readonly forwards: HostForwards | undefined,
  ) {}

  /**
   * All or none; those that are there already stay.
   * @param asked the same ports as they were asked for, which is what is forwarded.
   * @returns those that were not.
   * @throws NET_PORT_IN_USE, FIREWALL_FAILED.
   */
  async publish(
    ports: readonly PublishedPort[],
    asked: readonly PortMapping[],
    call: CallOptions,
  ): Promise<readonly PublishedPort[]> {
    const undo = new UndoStack();
    try {
      const reserved = await this.hostPorts.reserve(ports, () => this.firewall.published(call));
      undo.push('host ports', async () => this.hostPorts.release(reserved));
      await this.firewall.publish(ports, call);
      undo.push('rules', (undoCall) => this.firewall.unpublish(reserved, undoCall));
      const ids = new Set(reserved);
      const fresh = ports.filter(({ id }) => ids.has(id));
      await this.forwards?.add(asked, call);
      undo.push('forwards', (undoCall) => this.#removeForwards(fresh, undoCall));
      await forgetUdpFlows(
        fresh.map(({ mapping }) => mapping),
        this.netns,
        call,
      );
      return fresh;
    } catch (error) {
      throw await undo.fail('POD_CLEANUP_FAILED', 'published ports', error);
    }
  }

  async unpublish(ports: readonly Pick<PublishedPort, 'id' | 'mapping'>[], call: CallOptions): Promise<void> {
    const ids = ports.map(({ id }) => id);
    // What is forwarded has rules: by them it is found again.
    await this.#removeForwards(ports, call);
    await this.firewall.unpublish(ids, call);
    this.hostPorts.release(ids);
    await forgetUdpFlows(
      ports.map(({ mapping }) => mapping),
      this.netns,
      call,
    );
  }

  async #removeForwards(ports: readonly Pick<PublishedPort, 'mapping'>[], call: CallOptions): Promise<void> {
    const { forwards } = this;
    if (forwards)
      await forwards.remove(
        ports.map(({ mapping }) => forwards.outside(mapping)),
        call,
      );
  }

  /** All that rules or this process know of these NICs. */
  async unpublishAll(nics: readonly Pick<NicPlan, 'podId' | 'nicId'>[], call: CallOptions): Promise<void> {
    const mine = nics.map(({ podId, nicId }) => `${podId}/${nicId}/`);
    const ports = (await this.firewall.published(call)).filter(({ id }) => mine.some((each) => id.startsWith(each)));
    if (ports.length > 0) await this.unpublish(ports, call);
    for (const { podId, nicId } of nics) this.hostPorts.releaseOf(podId, nicId);
  }

  /** Whether there is anything to withdraw; asked without the lock. */
  async any(podId: string, nicId: string, call: CallOptions): Promise<boolean> {
    const mine = `${podId}/${nicId}/`;
    return this.hostPorts.has(mine) || (await this.firewall.published(call)).some(({ id }) => id.startsWith(mine));
  }
}

const notSupported = (message: string): HyperplugError => new HyperplugError('NOT_SUPPORTED', message);
