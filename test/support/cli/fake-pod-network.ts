import { HyperplugError } from '../../../src/core/errors.js';
import type { PortMapping } from '../../../src/core/network.js';
import { parsePortRange } from '../../../src/core/pod/ports.js';
import type { NicInput, PortInput } from '../../../src/core/pod/spec.js';
import type { NicChange, PodNic, PodRoute, PortSelector, RouteInput } from '../../../src/core/pod/types.js';

/** A NIC as a record tells of it; `changes` says what is special. */
export function fakeNic(id: string, changes: Partial<PodNic> = {}): PodNic {
  return {
    id,
    kind: 'network',
    mac: '52:54:00:00:00:01',
    name: null,
    mtu: 1500,
    addresses: [{ address: '192.168.123.2', prefixLength: 24 }],
    lease: {
      network: 'default',
      podId: 'web',
      nicId: id,
      addresses: [{ address: '192.168.123.2', prefixLength: 24 }],
      gateways: ['192.168.123.1'],
      dns: [],
      mtu: 1500,
    },
    ports: [],
    ...changes,
  };
}

/** What a pod does to its NICs, routes and ports: each call is kept for the test to look at. */
export class FakePodNetwork {
  readonly calls: unknown[][] = [];
  guestRoutes: PodRoute[] = [];
  /** The next call is refused with it. */
  refusal: HyperplugError | undefined;

  constructor(public nics: readonly PodNic[] = []) {}

  #note(...call: unknown[]): void {
    this.calls.push(call);
    const refusal = this.refusal;
    this.refusal = undefined;
    if (refusal) throw refusal;
  }

  async addNics(specs: readonly NicInput[]): Promise<readonly PodNic[]> {
    this.#note('addNics', specs);
    const added = specs.map((spec, index) => {
      const nic = fakeNic(spec.id ?? `eth-${this.nics.length + index}`);
      const { lease } = nic;
      return { ...nic, mtu: spec.mtu ?? nic.mtu, lease: lease && { ...lease, network: spec.network ?? 'default' } };
    });
    this.nics = [...this.nics, ...added];
    return added;
  }
  async removeNic(id: string): Promise<void> {
    this.#note('removeNic', id);
    this.#nic(id);
    this.nics = this.nics.filter((nic) => nic.id !== id);
  }
  async updateNic(id: string, change: NicChange): Promise<PodNic> {
    this.#note('updateNic', id, change);
    return { ...this.#nic(id), ...(change.mtu === undefined ? {} : { mtu: change.mtu }) };
  }
  async readNics(): Promise<readonly PodNic[]> {
    this.#note('readNics');
    return this.nics;
  }
  async readRoutes(): Promise<readonly PodRoute[]> {
    this.#note('readRoutes');
    return this.guestRoutes;
  }
  async addRoutes(routes: readonly RouteInput[]): Promise<void> {
    this.#note('addRoutes', routes);
  }
  async removeRoutes(routes: readonly RouteInput[]): Promise<void> {
    this.#note('removeRoutes', routes);
  }
  async publish(ports: readonly PortInput[]): Promise<readonly PortMapping[]> {
    this.#note('publish', ports);
    return ports.map((port) => parsePortRange({ ...port, protocol: port.protocol ?? 'tcp' }, 'port'));
  }
  async unpublish(ports: readonly PortSelector[]): Promise<readonly PortMapping[]> {
    this.#note('unpublish', ports);
    const hit = ({ hostPort, protocol, hostAddress }: PortMapping) =>
      ports.some(
        (port) =>
          String(port.hostPort).split('-')[0] === String(hostPort) &&
          (port.protocol ?? 'tcp') === protocol &&
          (port.hostAddress ?? hostAddress) === hostAddress,
      );
    return this.nics.flatMap((nic) => nic.ports).filter(hit);
  }

  #nic(id: string): PodNic {
    const nic = this.nics.find((one) => one.id === id);
    if (nic) return nic;
    throw new HyperplugError('VM_NIC_NOT_FOUND', `no NIC of the id "${id}"`);
  }
}
