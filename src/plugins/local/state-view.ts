import type { JsonValue } from '../../core/json.js';
import { checkStateKey, checkStatePrefix } from '../../core/state/keys.js';
import type { StateEntry, StateKey, StateTransaction, UnreadableEntry } from '../../core/state-store.js';
import { boundsBelow, decodeKey, decodeValue, encodeKey, encodeValue } from './state-codec.js';
import type { Database } from './state-file.js';

/** @throws STATE_CORRUPT, STATE_VERSION. */
export function readValue(database: Database, key: StateKey): JsonValue | undefined {
  const bytes = database.get(encodeKey(key));
  return bytes === undefined ? undefined : decodeValue(key, bytes);
}

export function scan(database: Database, prefix: StateKey): { entries: StateEntry[]; unreadable: UnreadableEntry[] } {
  const entries: StateEntry[] = [];
  const unreadable: UnreadableEntry[] = [];
  for (const { key: bytes, value } of database.getRange(boundsBelow(prefix))) {
    const key = decodeKey(bytes);
    try {
      // A key that could not have been written through this interface is foreign, whatever its value.
      checkStateKey(key);
      entries.push({ key, value: decodeValue(key, value) });
    } catch (error) {
      unreadable.push({ key, error: error as Error });
    }
  }
  return { entries, unreadable };
}

/**
 * The database as a transaction's body sees it. What LMDB refuses is kept in `failure`: a body that swallows it must not
 * commit the rest.
 */
export class LmdbView implements StateTransaction {
  readonly #database: Database;
  failure: { readonly reason: unknown } | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  get(key: StateKey): JsonValue | undefined {
    checkStateKey(key);
    return readValue(this.#database, key);
  }

  put(key: StateKey, value: JsonValue): void {
    checkStateKey(key);
    const bytes = encodeValue(value);
    this.#write(() => this.#database.putSync(encodeKey(key), bytes));
  }

  delete(key: StateKey): boolean {
    checkStateKey(key);
    return this.#write(() => this.#database.removeSync(encodeKey(key)));
  }

  list(prefix: StateKey): readonly StateEntry[] {
    checkStatePrefix(prefix);
    return scan(this.#database, prefix).entries;
  }

  #write<T>(write: () => T): T {
    try {
      return write();
    } catch (reason) {
      this.failure ??= { reason };
      throw reason;
    }
  }
}
