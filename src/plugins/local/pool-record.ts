import { randomBytes } from 'node:crypto';
import { HyperplugError } from '../../core/errors.js';
import { AddressSpace, type Holding, layoutFromText, type PoolLayout } from '../../core/ipam/index.js';
import type { JsonValue } from '../../core/json.js';
import type { StateKey, StateTransaction } from '../../core/state-store.js';

/** How many changes a record remembers for processes that lag behind. */
const RECENT_CHANGES = 16;

/** A change of one address; `owner` null: released. */
export interface PoolChange {
  /** Names the state that the change led to. Never given again: a change that was not committed matches nothing. */
  readonly tag: string;
  readonly address: string;
  readonly owner: string | null;
}

/** What is stored of a network, beside its leases. */
export interface PoolRecord {
  readonly restrictTo: string | null;
  /** Without network, broadcast and anycast addresses. */
  readonly reserved: readonly string[];
  readonly lastGiven: string | null;
  readonly tag: string;
  readonly recent: readonly PoolChange[];
}

/** A network in memory, as of `tag`. */
export interface LoadedPool {
  readonly space: AddressSpace;
  tag: string;
}

export const NETWORKS: StateKey = ['ipam', 'networks'];
export const networkKey = (network: string): StateKey => [...NETWORKS, network];
export const LEASES: StateKey = ['ipam', 'leases'];
export const leasesKey = (network: string): StateKey => [...LEASES, network];
export const leaseKey = (network: string, address: string): StateKey => [...LEASES, network, address];

/** Of this process alone, or this thread of it. */
const TAGS = randomBytes(9).toString('base64url');
let tags = 0;

export const newTag = () => `${TAGS}.${(tags++).toString(36)}`;

export function newRecord(layout: PoolLayout, reserved: readonly string[], lastGiven: string | null): PoolRecord {
  return { restrictTo: layout.restrictTo, reserved, lastGiven, tag: newTag(), recent: [] };
}

/** The record after `change`. */
export function withChange(record: PoolRecord, change: PoolChange, lastGiven: string | undefined): PoolRecord {
  return {
    ...record,
    lastGiven: lastGiven ?? null,
    tag: change.tag,
    recent: [...record.recent.slice(1 - RECENT_CHANGES), change],
  };
}

/** undefined: not registered. @throws STATE_CORRUPT, STATE_VERSION. */
export function readRecord(transaction: StateTransaction, network: string): PoolRecord | undefined {
  const value = transaction.get(networkKey(network));
  return value === undefined ? undefined : parseRecord(network, value);
}

export function writeRecord(transaction: StateTransaction, network: string, record: PoolRecord): void {
  transaction.put(networkKey(network), record as unknown as JsonValue);
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isTextOrNull = (value: unknown): value is string | null => value === null || isText(value);

function isChange(value: unknown): value is PoolChange {
  const change = value as Partial<PoolChange> | null;
  return isText(change?.tag) && isText(change?.address) && isTextOrNull(change?.owner);
}

function parseRecord(network: string, value: JsonValue): PoolRecord {
  const record = value as unknown as Partial<PoolRecord> | null;
  const fits =
    typeof record === 'object' &&
    record !== null &&
    isTextOrNull(record.restrictTo) &&
    isTextOrNull(record.lastGiven) &&
    isText(record.tag) &&
    Array.isArray(record.reserved) &&
    record.reserved.every(isText) &&
    Array.isArray(record.recent) &&
    record.recent.every(isChange);
  if (!fits) throw corrupt(network, 'the record of the network has another shape');
  return record as PoolRecord;
}

/** @throws STATE_CORRUPT when what is stored contradicts itself. */
export function loadPool(transaction: StateTransaction, network: string, record: PoolRecord): LoadedPool {
  try {
    const space = new AddressSpace(layoutFromText(network, record.restrictTo, record.reserved));
    const holdings: Holding[] = transaction.list(leasesKey(network)).map(({ key, value }) => {
      const owner = (value as { owner?: unknown } | null)?.owner;
      if (!isText(owner)) throw new Error(`the record of ${key.at(-1)} names no owner`);
      return { address: key.at(-1) as string, owner };
    });
    space.restore(holdings, record.lastGiven ?? undefined);
    return { space, tag: record.tag };
  } catch (cause) {
    throw corrupt(network, (cause as Error).message, cause);
  }
}

/** Brings a network in memory up to date by the record's recent changes. False: it is too far behind, or off the path. */
export function catchUp(pool: LoadedPool, record: PoolRecord): boolean {
  if (pool.tag === record.tag) return true;
  const at = record.recent.findIndex((change) => change.tag === pool.tag);
  if (at < 0) return false;
  try {
    for (const { address, owner } of record.recent.slice(at + 1)) {
      if (owner === null) pool.space.release(address);
      else pool.space.hold(address, owner);
    }
    pool.space.restore([], record.lastGiven ?? undefined);
  } catch {
    return false;
  }
  pool.tag = record.tag;
  return true;
}

function corrupt(network: string, what: string, cause?: unknown): HyperplugError {
  return new HyperplugError('STATE_CORRUPT', `address pool ${network}: ${what}; it was left as it is`, {
    ...(cause === undefined ? {} : { cause }),
    details: { network },
  });
}
