import type {
  AddressPool,
  AddressPoolCapabilities,
  Allocation,
  IpRange,
  PoolNetwork,
  PoolUsage,
} from '../../core/address-pool.js';
import type { CallOptions } from '../../core/calls.js';
import { fieldError, HyperplugError, hasCode } from '../../core/errors.js';
import {
  AddressSpace,
  formatAddress,
  type Holding,
  layoutOf,
  type PoolLayout,
  sameLayout,
  subnetOf,
} from '../../core/ipam/index.js';
import type { StateStore, StateTransaction } from '../../core/state-store.js';
import { POOL_CAPABILITIES } from './capabilities.js';
import {
  catchUp,
  LEASES,
  type LoadedPool,
  leaseKey,
  leasesKey,
  loadPool,
  NETWORKS,
  networkKey,
  newRecord,
  newTag,
  type PoolRecord,
  readRecord,
  withChange,
  writeRecord,
} from './pool-record.js';

/** Stands in memory for a lease whose record cannot be read: its address is not free, and nobody's to release. */
const UNREADABLE = '(a record that cannot be read)';

/**
 * Addresses in memory, each change of which is one transaction of the state store. Several processes share the store: a
 * tag on each network tells whether another one was there since, and the last few changes bring memory up to date.
 */
export class LocalAddressPool implements AddressPool {
  readonly name = 'local';
  readonly capabilities: AddressPoolCapabilities;
  readonly #state: StateStore;
  readonly #pools = new Map<string, LoadedPool>();

  constructor(state: StateStore) {
    this.#state = state;
    this.capabilities = Object.freeze({ ...POOL_CAPABILITIES, durable: state.capabilities.durable });
  }

  async register(network: PoolNetwork, options: CallOptions): Promise<void> {
    const layout = layoutOf(network);
    const { key, family } = layout.subnet;
    const reserved = network.reserved.map((address) => formatAddress(family, address.getValue()));
    await this.#state.transaction((transaction) => {
      const record = readRecord(transaction, key);
      if (!record) return writeRecord(transaction, key, newRecord(layout, reserved, null));
      const { space } = this.#load(transaction, key, record);
      if (sameLayout(space.layout, layout)) return;
      checkReplacement(space, layout);
      const keepsRange = space.layout.restrictTo === layout.restrictTo;
      writeRecord(transaction, key, newRecord(layout, reserved, keepsRange ? record.lastGiven : null));
    }, options);
  }

  async unregister(range: IpRange, options: CallOptions): Promise<void> {
    const { key } = subnetOf(range);
    await this.#state.transaction((transaction) => {
      transaction.delete(networkKey(key));
      for (const entry of transaction.list(leasesKey(key))) transaction.delete(entry.key);
    }, options);
    this.#pools.delete(key);
  }

  async request(range: IpRange, address: string | undefined, owner: string, options: CallOptions): Promise<Allocation> {
    checkOwner(owner);
    if (address !== undefined && typeof address !== 'string') {
      throw fieldError('IPAM_ADDRESS_INVALID', 'address', 'the text of an IP address, or undefined for any', address);
    }
    return this.#change(range, options, (transaction, { space }, network, write) => {
      for (;;) {
        const given = address === undefined ? space.next(owner) : space.take(address, owner);
        if (isFreeInStore(transaction, network, given)) {
          transaction.put(leaseKey(network, given), { owner });
          write({ address: given, owner });
          return allocation(space.layout, { address: given, owner });
        }
        space.release(given);
        space.hold(given, UNREADABLE);
      }
    });
  }

  async release(range: IpRange, address: string, options: CallOptions): Promise<boolean> {
    return this.#change(range, options, (transaction, { space }, network, write) => {
      const released = space.release(address);
      if (!released) return false;
      if (released.owner === UNREADABLE) {
        try {
          transaction.get(leaseKey(network, released.address));
        } catch (error) {
          space.hold(released.address, UNREADABLE);
          throw error;
        }
      }
      transaction.delete(leaseKey(network, released.address));
      write({ address: released.address, owner: null });
      return true;
    });
  }

  async releaseOwner(owner: string, options: CallOptions): Promise<readonly Allocation[]> {
    checkOwner(owner);
    return this.#state.transaction((transaction) => {
      const released: Allocation[] = [];
      for (const { key } of transaction.list(NETWORKS)) {
        const network = key.at(-1) as string;
        const record = readRecord(transaction, network) as PoolRecord;
        const pool = this.#load(transaction, network, record);
        released.push(...releaseAllOf(transaction, network, record, pool, owner));
      }
      return released;
    }, options);
  }

  async list(range: IpRange, options: CallOptions): Promise<readonly Allocation[]> {
    return this.#change(range, options, (_transaction, { space }) =>
      space
        .list()
        .filter(({ owner }) => owner !== UNREADABLE)
        .map((holding) => allocation(space.layout, holding)),
    );
  }

  async all(options: CallOptions): Promise<readonly Allocation[]> {
    // A read alone: who only looks takes no turn, and writes nothing.
    const leases = await this.#state.list(LEASES, options);
    return leases.flatMap(({ key, value }) => {
      const [network = '', address = ''] = key.slice(LEASES.length);
      const { owner } = (value ?? {}) as { owner?: unknown };
      const prefixLength = Number(network.split('/')[1]);
      return typeof owner === 'string' ? [Object.freeze({ address, prefixLength, network, owner })] : [];
    });
  }

  async usage(range: IpRange, options: CallOptions): Promise<PoolUsage> {
    return this.#change(range, options, (_transaction, { space }, network) => ({
      network,
      capacity: space.layout.capacity,
      allocated: BigInt(space.allocated),
    }));
  }

  /** One transaction on one network. `write` records a change of memory that the body has made. */
  #change<T>(
    range: IpRange,
    options: CallOptions,
    body: (
      transaction: StateTransaction,
      pool: LoadedPool,
      network: string,
      write: (change: { address: string; owner: string | null }) => void,
    ) => T,
  ): Promise<T> {
    const { key } = subnetOf(range);
    return this.#state.transaction((transaction) => {
      const record = readRecord(transaction, key);
      if (!record) {
        throw new HyperplugError('IPAM_NETWORK_NOT_FOUND', `network ${key} is not registered`, {
          details: { network: key },
        });
      }
      const pool = this.#load(transaction, key, record);
      return body(transaction, pool, key, (change) => {
        pool.tag = newTag();
        writeRecord(transaction, key, withChange(record, { ...change, tag: pool.tag }, pool.space.lastGiven));
      });
    }, options);
  }

  /** Memory as of the record. What a failed transaction left in memory carries a tag that no record has, so it is dropped here. */
  #load(transaction: StateTransaction, network: string, record: PoolRecord): LoadedPool {
    const known = this.#pools.get(network);
    if (known && catchUp(known, record)) return known;
    const pool = loadPool(transaction, network, record);
    this.#pools.set(network, pool);
    return pool;
  }
}

function releaseAllOf(
  transaction: StateTransaction,
  network: string,
  record: PoolRecord,
  pool: LoadedPool,
  owner: string,
): readonly Allocation[] {
  const { space } = pool;
  const held = space.heldBy(owner);
  let latest = record;
  for (const { address } of held) {
    space.release(address);
    transaction.delete(leaseKey(network, address));
    pool.tag = newTag();
    latest = withChange(latest, { tag: pool.tag, address, owner: null }, space.lastGiven);
  }
  if (held.length > 0) writeRecord(transaction, network, latest);
  return held.map((holding) => allocation(space.layout, holding));
}

/** False: a record is there that memory does not know of, as it cannot be read. */
function isFreeInStore(transaction: StateTransaction, network: string, address: string): boolean {
  try {
    return transaction.get(leaseKey(network, address)) === undefined;
  } catch (error) {
    if (hasCode(error, 'STATE_CORRUPT', 'STATE_VERSION')) return false;
    throw error;
  }
}

/** @throws IPAM_SUBNET_CONFLICT when an allocation would fall out of the new layout. */
function checkReplacement(space: AddressSpace, layout: PoolLayout): void {
  const { key } = layout.subnet;
  const conflict = (what: string) =>
    new HyperplugError('IPAM_SUBNET_CONFLICT', `network ${key} is in use: ${what}`, { details: { network: key } });
  if (space.allocated > 0 && space.layout.restrictTo !== layout.restrictTo) {
    const whole = 'the whole network';
    throw conflict(
      `${space.allocated} addresses are allocated from ${space.layout.restrictTo ?? whole}, now ${layout.restrictTo ?? whole} is asked for`,
    );
  }
  try {
    new AddressSpace(layout).restore(space.list(), undefined);
  } catch (error) {
    throw conflict((error as Error).message);
  }
}

function allocation({ subnet }: PoolLayout, { address, owner }: Holding): Allocation {
  return Object.freeze({ address, prefixLength: subnet.prefixLength, network: subnet.key, owner });
}

function checkOwner(owner: string): void {
  if (typeof owner !== 'string' || owner === '' || owner === UNREADABLE) {
    throw new TypeError(`owner: expected text that names an owner, got ${JSON.stringify(owner)}`);
  }
}
