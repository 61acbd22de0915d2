import { type CallOptions, raceSignal } from '../calls.js';
import { HyperplugError } from '../errors.js';
import type { PortMapping } from '../network.js';
import type { Vm } from '../vm/vm.js';
import { addNics } from './add-nics.js';
import { addRoutes, readRoutes, removeRoutes } from './change-routes.js';
import { linkOf, readBack, sameAddress } from './guest-state.js';
import { needNetworks } from './need-networks.js';
import type { NicTable } from './nic-table.js';
import { addressesOf, podNic } from './nics.js';
import { publish, unpublish } from './publish-ports.js';
import type { NicRecord } from './record.js';
import { removeNic } from './remove-nic.js';
import type { PodServices } from './services.js';
import type { NicChange, PodNic, PodRoute } from './types.js';
import { updateNic } from './update-nic.js';

export interface PodNetworkParts {
  readonly services: PodServices;
  readonly vm: Vm;
  readonly table: NicTable;
}

/** What can be changed of the network of a pod that runs and is held. */
export class PodNetwork {
  #ready: Promise<void> | undefined;

  constructor(private readonly parts: PodNetworkParts) {}

  get nics(): readonly PodNic[] {
    const { table } = this.parts;
    return table
      .list()
      .filter(({ state }) => state !== 'adding')
      .map((nic) => podNic(nic, table.guest(nic.id)));
  }

  async addNics(inputs: unknown, call: CallOptions): Promise<readonly PodNic[]> {
    await this.#prepare(call);
    return addNics(this.parts, inputs, call);
  }

  async removeNic(id: string, call: CallOptions): Promise<void> {
    this.parts.table.find(id);
    await this.#prepare(call);
    // One that a manager died at may be gone by now.
    if (this.parts.table.list().some((nic) => nic.id === id)) await removeNic(this.parts, id, call);
  }

  async updateNic(id: string, change: NicChange, call: CallOptions): Promise<PodNic> {
    await this.#prepare(call);
    await needNetworks(this.parts, [id], call);
    return updateNic(this.parts, id, change, call);
  }

  async addRoutes(inputs: unknown, call: CallOptions): Promise<void> {
    await this.#prepare(call);
    await addRoutes(this.parts, inputs, call);
  }

  async removeRoutes(inputs: unknown, call: CallOptions): Promise<void> {
    await this.#prepare(call);
    await removeRoutes(this.parts, inputs, call);
  }

  routes(call: CallOptions): Promise<readonly PodRoute[]> {
    return readRoutes(this.parts, call);
  }

  async publish(inputs: unknown, call: CallOptions): Promise<readonly PortMapping[]> {
    await this.#prepare(call);
    return publish(this.parts, inputs, call);
  }

  async unpublish(inputs: unknown, call: CallOptions): Promise<readonly PortMapping[]> {
    await this.#prepare(call);
    return unpublish(this.parts, inputs, call);
  }

  /** What another manager left half done is brought to an end. @throws POD_CLEANUP_FAILED something could not be. */
  async settle(call: CallOptions): Promise<void> {
    await this.#prepare(call);
    const left = this.parts.table.list().filter(({ state }) => state !== 'ready');
    if (left.length === 0) return;
    const ids = left.map(({ id }) => id).join(', ');
    throw new HyperplugError(
      'POD_CLEANUP_FAILED',
      `NICs ${ids} of pod ${this.parts.table.record.id} are half made still`,
    );
  }

  /**
   * Networks known to the backend, and what another manager left half done brought to an end. None is made: what is taken
   * away goes also where its network cannot be made any more.
   */
  async #prepare(call: CallOptions): Promise<void> {
    for (;;) {
      const waits = this.#ready !== undefined;
      this.#ready ??= (async () => {
        const { services, table } = this.parts;
        await services.initNetworks([], call);
        for (const { lease } of table.list()) if (lease) services.backend.adoptLease?.(lease);
        await settle(this.parts, call);
      })().catch((error: unknown) => {
        this.#ready = undefined;
        throw error;
      });
      try {
        return await raceSignal(this.#ready, call.signal, 'the networks');
      } catch (error) {
        // Another call's end is not this one's.
        if (!waits || call.signal.aborted) throw error;
      }
    }
  }
}

/** NICs that were being added or removed go; one that was being changed has what the record says it has, old and new. */
async function settle(parts: PodNetworkParts, call: CallOptions): Promise<void> {
  const { table } = parts;
  for (const nic of table.list()) {
    if (nic.state === 'ready') continue;
    try {
      await (nic.state === 'changing' ? putRight(parts, nic, call) : removeNic(parts, nic.id, call));
    } catch (error) {
      // It stays listed, and can be removed later; it is in the way of nothing else.
      if (call.signal.aborted) throw error;
    }
  }
}

async function putRight({ vm, table }: PodNetworkParts, nic: NicRecord, call: CallOptions): Promise<void> {
  await table.inTurn(nic.id, async () => {
    const network = await readBack(vm.session, {}, table.list(), call);
    const link = network && linkOf(network, nic);
    const missing = addressesOf(nic).filter((each) => !link?.addresses.some((has) => sameAddress(has, each)));
    await vm.session.setupInterface(
      {
        mac: nic.mac,
        expectedName: nic.guestName ?? nic.name ?? '',
        ...(nic.kind === 'network' && { mtu: nic.mtu, ...(nic.name !== null && { name: nic.name }) }),
        addAddresses: missing,
        removeAddresses: [],
      },
      call,
    );
    await table.set(nic.id, { state: 'ready' }, call);
  });
}
