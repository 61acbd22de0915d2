import type { CallOptions } from '../../core/calls.js';
import type { Firewall, PublishedPort, Restriction } from '../../core/firewall.js';
import type { HostForwards } from '../../core/host-forwards.js';
import type { AddressLease, NicPlan, PortMapping } from '../../core/network.js';
import { HostPorts } from './host-ports.js';
import type { PlannedNetwork } from './network.js';
import type { Batch, NetworkTurns } from './network-turns.js';
import { Publisher, portId, publishedPorts } from './published.js';
import { restrictionsOf } from './restrictions.js';

type NicName = Pick<NicPlan, 'podId' | 'nicId'>;
type PortName = Pick<PublishedPort, 'id' | 'mapping'>;

interface Publishing {
  readonly ports: readonly PublishedPort[];
  /** The same, as they were asked for. */
  readonly asked: readonly PortMapping[];
}

/** The rules of single NICs, published ports and restrictions: what is asked for at once is one change of the tables. */
export class NicRules {
  readonly #hostPorts: HostPorts;
  readonly #publisher: Publisher;

  /** @param netns of the ports that are held. */
  constructor(
    private readonly firewall: Firewall,
    private readonly forwards: HostForwards | undefined,
    private readonly turns: NetworkTurns,
    netns: string | undefined,
  ) {
    this.#hostPorts = new HostPorts(netns);
    this.#publisher = new Publisher(firewall, this.#hostPorts, netns, forwards);
  }

  /** Ports are no longer held; their rules stay. */
  release(): void {
    this.#hostPorts.releaseAll();
  }

  /** @throws NOT_SUPPORTED what cannot be forwarded into the namespace. */
  check(mappings: readonly PortMapping[]): void {
    for (const mapping of mappings) this.forwards?.check(mapping);
  }

  /** @throws as publishedPorts() */
  ports(network: PlannedNetwork, lease: AddressLease, mappings: readonly PortMapping[]): PublishedPort[] {
    return publishedPorts(network, lease, this.#inside(mappings), this.firewall);
  }

  restrictions(network: PlannedNetwork, lease: AddressLease, allow: NicPlan['allow']): Restriction[] {
    return restrictionsOf(network, lease, allow, this.firewall);
  }

  /** @param asked the same ports as they were asked for. */
  async publish(ports: readonly PublishedPort[], asked: readonly PortMapping[], call: CallOptions): Promise<void> {
    if (ports.length > 0) await this.turns.together('publishing of ports', call, this.#publishAll, { ports, asked });
  }

  async unpublish({ podId, nicId }: NicName, mappings: readonly PortMapping[], call: CallOptions): Promise<void> {
    const ports = this.#inside(mappings).map((mapping) => ({ id: portId(podId, nicId, mapping), mapping }));
    if (ports.length > 0) await this.turns.together('withdrawal of ports', call, this.#unpublishAll, ports);
  }

  /** All ports of the NIC, whoever published them. */
  async withdraw({ podId, nicId }: NicName, call: CallOptions): Promise<void> {
    if (!(await this.#publisher.any(podId, nicId, call))) return;
    await this.turns.together('withdrawal of ports', call, this.#withdrawAll, { podId, nicId });
  }

  async restrict(restrictions: readonly Restriction[], call: CallOptions): Promise<void> {
    await this.turns.together('restriction of a NIC', call, this.#restrictAll, restrictions);
  }

  async unrestrict({ podId, nicId }: NicName, call: CallOptions): Promise<void> {
    const { firewall } = this;
    if (!firewall.capabilities.restricts) return;
    const nic = `${podId}/${nicId}`;
    // Looked at without a turn: where there is none, whoever holds the networks' lock is not waited for.
    const there = await firewall.restricted?.(call);
    if (there && !there.some(({ id }) => id === nic)) return;
    await this.turns.together('end of the restriction of a NIC', call, this.#unrestrictAll, nic);
  }

  #inside(mappings: readonly PortMapping[]): readonly PortMapping[] {
    const { forwards } = this;
    return forwards ? mappings.map((mapping) => forwards.inside(mapping)) : mappings;
  }

  readonly #publishAll: Batch<Publishing, readonly PublishedPort[]> = async (asked, call) => {
    const fresh = await this.#publisher.publish(
      asked.flatMap(({ ports }) => ports),
      asked.flatMap((each) => each.asked),
      call,
    );
    const ids = new Set(fresh.map(({ id }) => id));
    return asked.map(({ ports }) => ports.filter(({ id }) => ids.has(id)));
  };

  readonly #unpublishAll: Batch<readonly PortName[], void> = async (doomed, call) => {
    await this.#publisher.unpublish(doomed.flat(), call);
    return doomed.map(() => undefined);
  };

  readonly #withdrawAll: Batch<NicName, void> = async (nics, call) => {
    await this.#publisher.unpublishAll(nics, call);
    return nics.map(() => undefined);
  };

  readonly #restrictAll: Batch<readonly Restriction[], void> = async (asked, call) => {
    await this.firewall.restrict?.(asked.flat(), call);
    return asked.map(() => undefined);
  };

  readonly #unrestrictAll: Batch<string, void> = async (ids, call) => {
    await this.firewall.unrestrict?.(ids, call);
    return ids.map(() => undefined);
  };
}
