import { BlockList } from 'node:net';
import type { GuestNic } from '../agent.js';
import type { CallOptions } from '../calls.js';
import { HyperplugError } from '../errors.js';
import { familyOfAddress } from '../ipam/index.js';
import type { InterfaceAddress } from '../network.js';
import { Turns } from '../turns.js';
import type { PodEventInput } from './events/event-log.js';
import type { PodStore } from './pod-store.js';
import type { NicRecord, PodRecord, RouteRecord } from './record.js';

/**
 * The NICs and routes of a pod, by id and MAC. The table is the pod's record: each change is in the state store before
 * this says that it is made, so that another manager finds what there is, and what was under way.
 */
export class NicTable {
  #record: PodRecord;
  #lastWrite: Promise<unknown> = Promise.resolve();
  /** The last operation on each NIC: one at a time, different NICs at once. */
  readonly #turns = new Turns();
  readonly #guests = new Map<string, GuestNic>();
  readonly #claimed = new Set<RouteRecord>();

  constructor(
    private readonly store: PodStore,
    record: PodRecord,
  ) {
    this.#record = record;
  }

  get record(): PodRecord {
    return this.#record;
  }

  /** An event of one of its NICs. */
  event(type: PodEventInput['type'], nic: string, data: PodEventInput['data'] = {}): PodEventInput {
    return { pod: this.#record.id, type, data: { nic, ...data } };
  }

  /** In the order in which they were added. */
  list(): readonly NicRecord[] {
    return this.#record.nics;
  }

  /** @throws VM_NIC_NOT_FOUND */
  find(id: string): NicRecord {
    const nic = this.#record.nics.find((each) => each.id === id);
    if (nic) return nic;
    const ids = this.#record.nics.map((each) => each.id).join(', ') || 'none';
    throw new HyperplugError('VM_NIC_NOT_FOUND', `pod ${this.#record.id} has no NIC ${id}; it has: ${ids}`, {
      details: { field: 'nic', received: id },
    });
  }

  /** What the guest last said of a NIC. */
  guest(id: string): GuestNic | undefined {
    return this.#guests.get(id);
  }

  sawGuest(id: string, guest: GuestNic): void {
    this.#guests.set(id, guest);
  }

  /**
   * Takes ids and MACs for NICs that are about to be made.
   * @param alongside as of update(); not called for what is refused.
   * @throws VM_NIC_EXISTS
   */
  async reserve(nics: readonly NicRecord[], call: CallOptions, alongside: () => void): Promise<void> {
    const refuse = (there: readonly NicRecord[]) => {
      for (const [index, nic] of nics.entries()) refuseTwice(nic, [...there, ...nics.slice(0, index)]);
    };
    refuse(this.#record.nics);
    const change = (record: PodRecord) => {
      refuse(record.nics);
      return { ...record, nics: [...record.nics, ...nics] };
    };
    await this.update(change, call, [], alongside);
  }

  async set(
    id: string,
    changes: Partial<NicRecord>,
    call: CallOptions,
    events: readonly PodEventInput[] = [],
  ): Promise<NicRecord> {
    await this.update(
      (record) => ({ ...record, nics: record.nics.map((nic) => (nic.id === id ? { ...nic, ...changes } : nic)) }),
      call,
      events,
    );
    return this.find(id);
  }

  /** The NIC and the routes by it are no more, those too that only say their gateway. Idempotent. */
  async drop(id: string, call: CallOptions, events: readonly PodEventInput[] = []): Promise<void> {
    await this.update(
      (record) => ({
        ...record,
        nics: record.nics.filter((nic) => nic.id !== id),
        routes: record.routes.filter((route) => !goesWith(route, id, record.nics)),
      }),
      call,
      events,
    );
    this.#guests.delete(id);
  }

  async setRoutes(
    change: (routes: readonly RouteRecord[]) => readonly RouteRecord[],
    call: CallOptions,
  ): Promise<void> {
    await this.update((record) => ({ ...record, routes: change(record.routes) }), call);
  }

  /**
   * Default routes by NICs that are not in the record yet.
   * @param choose is given those that the pod has, and those that others were given meanwhile.
   */
  claimRoutes(choose: (routes: readonly RouteRecord[]) => readonly RouteRecord[]): readonly RouteRecord[] {
    const chosen = choose([...this.#record.routes, ...this.#claimed]);
    for (const route of chosen) this.#claimed.add(route);
    return chosen;
  }

  /** They are in the record, or never will be. */
  unclaimRoutes(routes: readonly RouteRecord[]): void {
    for (const route of routes) this.#claimed.delete(route);
  }

  /**
   * Writes take turns, so that what is read here is never older than what was written.
   * @param alongside called when the store has been given this write: what it gives to the same store comes to the disk with
   * it, or later, and never before.
   */
  async update(
    change: (record: PodRecord) => PodRecord,
    call: CallOptions,
    events: readonly PodEventInput[] = [],
    alongside: () => void = () => {},
  ): Promise<void> {
    const write = async () => {
      const written = this.store.update(this.#record.id, change, call, events);
      alongside();
      this.#record = await written;
    };
    const written = this.#lastWrite.then(write, write);
    this.#lastWrite = written.catch(() => {});
    return written;
  }

  /** In the turn of each of several NICs. */
  inTurns<T>(ids: readonly string[], body: () => Promise<T>): Promise<T> {
    return this.#turns.inTurns(ids, body);
  }

  inTurn<T>(id: string, body: () => Promise<T>): Promise<T> {
    return this.#turns.inTurn(id, body);
  }
}

function refuseTwice(nic: NicRecord, others: readonly NicRecord[]): void {
  for (const other of others) {
    const same =
      other.id === nic.id
        ? `id ${nic.id}`
        : other.mac === nic.mac && nic.kind === 'network'
          ? `MAC ${nic.mac}`
          : other.kind === 'loopback' && nic.kind === 'loopback'
            ? 'the loopback'
            : nic.name !== null && other.name === nic.name
              ? `name ${nic.name}`
              : undefined;
    if (!same) continue;
    throw new HyperplugError('VM_NIC_EXISTS', `NIC ${nic.id}: one with ${same} is there already`, {
      details: { field: 'id', received: nic.id, other: other.id },
    });
  }
}

/** Whether the guest's kernel forgets this route with that NIC: it names it, or no other NIC reaches its gateway. */
function goesWith(route: RouteRecord, id: string, nics: readonly NicRecord[]): boolean {
  const { nic, gateway } = route;
  if (nic !== undefined || gateway === undefined) return nic === id;
  const by = nics.filter(({ lease }) => lease !== null && reaches(lease.addresses, gateway));
  return by.length === 1 && by[0]?.id === id;
}

function reaches(addresses: readonly InterfaceAddress[], gateway: string): boolean {
  const subnets = new BlockList();
  for (const { address, prefixLength } of addresses) {
    subnets.addSubnet(address, prefixLength, familyName(address));
  }
  return subnets.check(gateway, familyName(gateway));
}

const familyName = (address: string) => (familyOfAddress(address) === 6 ? 'ipv6' : 'ipv4');
