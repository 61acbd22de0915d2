import { createHash } from 'node:crypto';
import { join } from 'node:path';
import {
  type AddressLease,
  type AddressPool,
  type AddressRequest,
  type CallOptions,
  type HostNic,
  type HostNicRecord,
  HyperplugError,
  type InitOptions,
  type NetworkBackend,
  type NetworkSpec,
  type NetworkStatus,
  type NicPlan,
  type RunningNic,
  throwIfAborted,
  UndoStack,
} from 'hyperplug';
import { capabilities } from './capabilities.js';
import { Leases } from './leases.js';
import { checkedNetwork, type Network } from './networks.js';
import { callSwitch, readStatus, startSwitch, stopSwitch } from './switch-process.js';

/** 64 bits of it: no two NICs of a network share a port, whatever their names begin with. */
const portOf = ({ podId, nicId }: { readonly podId: string; readonly nicId: string }) =>
  createHash('sha256').update(`${podId}/${nicId}`).digest('hex').slice(0, 16);

/** Networks that are a process each, which outlives its manager; addresses from the configured pool. */
export class SwitchBackend implements NetworkBackend {
  readonly name = 'switch';
  readonly capabilities = capabilities;
  readonly #leases: Leases;
  readonly #networks = new Map<string, Network>();
  #nics: readonly RunningNic[] = [];

  constructor(
    pool: AddressPool,
    readonly directory: string,
    /** In tests: to fail in the middle. */
    readonly call = callSwitch,
  ) {
    this.#leases = new Leases(pool);
  }

  async configure(
    networks: readonly NetworkSpec[],
    nics: readonly RunningNic[],
    { signal }: CallOptions,
  ): Promise<void> {
    throwIfAborted(signal, 'configuring networks');
    this.#know(networks);
    this.#nics = nics;
  }

  async init(networks: readonly NetworkSpec[], { only, ...options }: InitOptions): Promise<void> {
    throwIfAborted(options.signal, 'making networks');
    const undo = new UndoStack();
    const starts: (() => Promise<void>)[] = [];
    try {
      for (const network of this.#know(networks, only)) {
        const { name, gateway } = network;
        const folder = this.#folder(name);
        const settings = { gateway, isolated: network.spec.isolated };
        // Only one that was not there before is taken away again.
        const ran = await readStatus(folder, options);
        if (!ran) undo.push(`switch of network ${name}`, (call) => stopSwitch(folder, call));
        if (ran && (ran.gateway !== gateway || ran.isolated !== settings.isolated)) {
          const what = `it runs with gateway ${ran.gateway}, isolated ${ran.isolated}: tear it down first`;
          throw new HyperplugError('NET_INIT_FAILED', `network ${name}: ${what}`);
        }
        starts.push(async () => {
          await startSwitch(folder, settings, options);
          await this.#leases.open(network, options);
        });
      }
      // All have settled before anything is undone.
      const failed = (await Promise.allSettled(starts.map((start) => start()))).find(
        (each) => each.status === 'rejected',
      );
      if (failed) throw failed.reason;
      undo.clear();
    } catch (cause) {
      throw await undo.fail('NET_INIT_FAILED', 'making networks', cause);
    }
  }

  async allocateAddress(request: AddressRequest, options: CallOptions): Promise<AddressLease> {
    throwIfAborted(options.signal, 'taking an address');
    return this.#leases.take(this.#network(request.network), request, options);
  }

  async releaseAddress(lease: AddressLease, options: CallOptions): Promise<void> {
    await this.#leases.release(this.#network(lease.network), lease, options);
  }

  async attach(plan: NicPlan, options: CallOptions): Promise<HostNic> {
    throwIfAborted(options.signal, `attaching NIC ${plan.nicId}`);
    if (plan.endpoint !== 'stream') this.#refuse(`NIC endpoint ${plan.endpoint}`);
    if (plan.tap !== undefined) this.#refuse('taps of the user');
    for (const { protocol } of plan.ports) this.#refuse(`publishing ${protocol}`);
    const { podId, nicId, lease } = plan;
    const folder = this.#folder(this.#network(lease.network).name);
    const port = portOf(plan);
    const undo = new UndoStack();
    undo.push(`port ${port}`, (call) => callSwitch(folder, { do: 'remove', port }, call));
    try {
      const path = await this.call(folder, { do: 'add', port }, options);
      const status = await readStatus(folder, options, this.call);
      if (typeof path !== 'string' || !status?.ports.includes(port)) {
        throw new HyperplugError('NET_INIT_FAILED', `the switch of network ${lease.network} does not run`);
      }
      undo.clear();
      const record: HostNicRecord = {
        version: 1,
        backend: this.name,
        network: lease.network,
        podId,
        nicId,
        data: null,
      };
      // No descriptor is ours: the hypervisor connects by path.
      return { nicId, endpoint: { kind: 'stream', path }, record, handedOver: async () => {} };
    } catch (cause) {
      throw await undo.fail('NET_INIT_FAILED', `attaching NIC ${podId}/${nicId}`, cause);
    }
  }

  /** The port's name follows from whose it is, so that a record without data does, too. */
  async detach(record: HostNicRecord, options: CallOptions): Promise<void> {
    await callSwitch(this.#folder(record.network), { do: 'remove', port: portOf(record) }, options);
  }

  async status(options: CallOptions): Promise<readonly NetworkStatus[]> {
    throwIfAborted(options.signal, 'network status');
    return Promise.all([...this.#networks.values()].map((network) => this.#statusOf(network, options)));
  }

  async #statusOf({ name, subnet, gateway, mtu, spec }: Network, options: CallOptions): Promise<NetworkStatus> {
    const status = await readStatus(this.#folder(name), options);
    const drift: string[] = [];
    if (!status) drift.push(`the switch of network ${name} does not run`);
    else if (status.gateway !== gateway) drift.push(`gateway: ${status.gateway}, not ${gateway}`);
    else if (status.isolated !== spec.isolated) drift.push(`isolated: ${status.isolated}`);
    for (const { record } of this.#nics) {
      if (record.network !== name || status?.ports.includes(portOf(record))) continue;
      drift.push(`the port of NIC ${record.podId}/${record.nicId} is missing`);
    }
    return { name, present: status !== undefined, subnets: [subnet], gateways: [gateway], mtu, drift };
  }

  async teardown(name: string, options: CallOptions): Promise<void> {
    throwIfAborted(options.signal, `removing network ${name}`);
    const network = this.#network(name);
    await stopSwitch(this.#folder(name), options);
    await this.#leases.close(network, options);
  }

  /** @returns those of `only`; what is wrong with another leaves that one out. */
  #know(specs: readonly NetworkSpec[], only: readonly string[] = specs.map(({ name }) => name)): Network[] {
    const networks = specs.flatMap((spec) => {
      try {
        return [checkedNetwork(spec)];
      } catch (error) {
        if (only.includes(spec.name)) throw error;
        return [];
      }
    });
    for (const network of networks) this.#networks.set(network.name, network);
    return networks.filter(({ name }) => only.includes(name));
  }

  #network(name: string): Network {
    const network = this.#networks.get(name);
    if (!network) throw new HyperplugError('NET_NOT_FOUND', `no network ${JSON.stringify(name)} is configured`);
    return network;
  }

  #folder(network: string): string {
    return join(this.directory, network);
  }

  #refuse(what: string): never {
    throw new HyperplugError('NOT_SUPPORTED', `network backend ${this.name} does not declare ${what}`);
  }
}
