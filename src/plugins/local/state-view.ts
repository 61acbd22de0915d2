import type { JsonValue } from '../../core/json.js';
import { checkStateKey, checkStatePrefix } from '../../core/state/keys.js';
import type { StateEntry, StateKey, StateTransaction, UnreadableEntry } from '../../core/state-store.js';
import { boundsBelow, decodeKey, decodeValue, encodeKey, encodeValue } from './state-codec.js';
import type { Database } from './state-file.js';

/** What is to be written: by the bytes of its key, as latin1 text; null: deleted. */
export type Writes = Map<string, Buffer | null>;

/** @throws STATE_CORRUPT, STATE_VERSION. */
export function readValue(database: Database, key: StateKey): JsonValue | undefined {
  const bytes = database.get(encodeKey(key));
  return bytes === undefined ? undefined : decodeValue(key, bytes);
}

export function scan(database: Database, prefix: StateKey): { entries: StateEntry[]; unreadable: UnreadableEntry[] } {
  return decodeAll(rowsBelow(database, prefix));
}

/** As one LMDB transaction, which is on disk afterwards. @throws LMDB's error; then nothing is. */
export function commitWrites(database: Database, writes: Iterable<readonly [string, Uint8Array | null]>): void {
  database.transactionSync(() => {
    for (const [text, value] of writes) {
      const key = Buffer.from(text, 'latin1');
      if (value === null) database.removeSync(key);
      else database.putSync(key, Buffer.from(value.buffer, value.byteOffset, value.byteLength));
    }
  });
}

/**
 * What a transaction's body sees: the file, over it what the bodies before it in the same turn have written, over that its
 * own writes. They come to the file only when all bodies of the turn have run: who holds the store's lock has it to itself
 * meanwhile, so that nothing read can have changed.
 */
export class TransactionView implements StateTransaction {
  readonly #database: Database;
  readonly #earlier: Writes;
  readonly writes: Writes = new Map();

  constructor(database: Database, earlier: Writes) {
    this.#database = database;
    this.#earlier = earlier;
  }

  get(key: StateKey): JsonValue | undefined {
    checkStateKey(key);
    const bytes = this.#read(encodeKey(key));
    return bytes === undefined ? undefined : decodeValue(key, bytes);
  }

  put(key: StateKey, value: JsonValue): void {
    checkStateKey(key);
    this.writes.set(textOf(encodeKey(key)), encodeValue(value));
  }

  delete(key: StateKey): boolean {
    checkStateKey(key);
    const bytes = encodeKey(key);
    const found = this.#read(bytes) !== undefined;
    if (found) this.writes.set(textOf(bytes), null);
    return found;
  }

  list(prefix: StateKey): readonly StateEntry[] {
    checkStatePrefix(prefix);
    const { start, end } = boundsBelow(prefix);
    const [first, past] = [textOf(start), textOf(end)];
    const changed = [...this.#earlier, ...this.writes].filter(([text]) => first <= text && text < past);
    if (changed.length === 0) return scan(this.#database, prefix).entries;
    const rows = new Map<string, Buffer | null>();
    for (const { key, value } of rowsBelow(this.#database, prefix)) rows.set(textOf(key), value);
    for (const [text, value] of changed) rows.set(text, value);
    const sorted = [...rows].sort(([one], [other]) => (one < other ? -1 : 1));
    return decodeAll(
      sorted.flatMap(([text, value]) => (value === null ? [] : [{ key: Buffer.from(text, 'latin1'), value }])),
    ).entries;
  }

  #read(key: Buffer): Buffer | undefined {
    const text = textOf(key);
    const written = this.writes.get(text) ?? (this.writes.has(text) ? null : this.#earlier.get(text));
    return written === undefined ? this.#database.get(key) : (written ?? undefined);
  }
}

interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

const textOf = (bytes: Buffer) => bytes.toString('latin1');

const rowsBelow = (database: Database, prefix: StateKey): Iterable<Row> => database.getRange(boundsBelow(prefix));

function decodeAll(rows: Iterable<Row>): { entries: StateEntry[]; unreadable: UnreadableEntry[] } {
  const entries: StateEntry[] = [];
  const unreadable: UnreadableEntry[] = [];
  for (const { key: bytes, value } of rows) {
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
