import type { CallOptions } from './calls.js';
import type { JsonValue } from './json.js';

export interface StateStoreCapabilities {
  /** A committed transaction survives the power going. */
  readonly durable: boolean;
  /** Several processes may open the same store. */
  readonly multiProcess: boolean;
}

/** A path: 1 to 8 parts, each 1 to 128 of `[A-Za-z0-9._:/-]`. */
export type StateKey = readonly string[];

export interface StateEntry {
  readonly key: StateKey;
  readonly value: JsonValue;
}

/** An entry that is there and cannot be read; it is kept until it is deleted by its key. */
export interface UnreadableEntry {
  readonly key: StateKey;
  readonly error: Error;
}

/** Synchronous: the body runs alone, across all processes. Reads see the body's own writes. */
export interface StateTransaction {
  /** @throws STATE_CORRUPT, STATE_VERSION */
  get(key: StateKey): JsonValue | undefined;
  put(key: StateKey, value: JsonValue): void;
  /** False: it was not there. */
  delete(key: StateKey): boolean;
  /** Readable entries below `prefix` (not the entry at it), in key order. */
  list(prefix: StateKey): readonly StateEntry[];
}

/** What a state plugin implements. Values are copied in and out: a caller's later change of an object changes nothing. */
export interface StateStore {
  readonly name: string;
  readonly capabilities: StateStoreCapabilities;
  start?(options: CallOptions): Promise<void>;
  /** Says that this process stays and serves many: what would hold its event loop up may go to a thread. Idempotent. */
  serve?(): void;
  /** After it every call rejects with STATE_UNAVAILABLE. Idempotent. */
  stop?(options: CallOptions): Promise<void>;
  /** @throws STATE_KEY_INVALID, STATE_CORRUPT, STATE_VERSION, STATE_UNAVAILABLE. */
  get(key: StateKey, options: CallOptions): Promise<JsonValue | undefined>;
  list(prefix: StateKey, options: CallOptions): Promise<readonly StateEntry[]>;
  /** What list() had to leave out. */
  unreadable(prefix: StateKey, options: CallOptions): Promise<readonly UnreadableEntry[]>;
  /**
   * Runs `body` and commits what it wrote, all or nothing; resolves when it is on disk (with `durable`). Those of one process
   * run in the order of the calls.
   * A body that throws, or returns a promise (TypeError), commits nothing. An aborted signal before the body ran: nothing ran.
   */
  transaction<T>(body: (transaction: StateTransaction) => T, options: CallOptions): Promise<T>;
}
