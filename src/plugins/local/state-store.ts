import { existsSync } from 'node:fs';
import { abortError, type CallOptions, throwIfAborted } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { JsonValue } from '../../core/json.js';
import { loopShare } from '../../core/loop-share.js';
import { checkStateKey, checkStatePrefix } from '../../core/state/keys.js';
import { runBody } from '../../core/state/transaction-body.js';
import type { StateEntry, StateKey, StateStore, StateTransaction, UnreadableEntry } from '../../core/state-store.js';
import { STATE_CAPABILITIES } from './capabilities.js';
import {
  type Database,
  ensureRoom,
  isReadOnly,
  openDatabase,
  openReadOnly,
  prepareDirectory,
  unavailable,
} from './state-file.js';
import { checkSchema, ensureSchema, type Schema, schema } from './state-schema.js';
import { commitWrites, readValue, scan, TransactionView, type Writes } from './state-view.js';
import { type QueuedJob, TransactionQueue } from './transaction-queue.js';
import { WriterThread } from './writer-thread.js';

/**
 * A process whose commits have taken so long so often is not about to end: its event loop is spared from now on. Shorter ones
 * are over sooner than a thread is told of them and has told that they are.
 */
const LONG_COMMIT_MS = 4;
const MANY_COMMITS = 48;

/**
 * Records in one LMDB file. Any number of processes may have it open; each opens it at its first call.
 * Reads never wait. Transactions take turns across processes, and those of one process that wait share a commit.
 */
export class LocalStateStore implements StateStore {
  readonly name = 'local';
  readonly capabilities = STATE_CAPABILITIES;
  readonly #path: string;
  readonly #schema: Schema;
  readonly #mapBytes: number | undefined;
  readonly #queue: TransactionQueue;
  #database: Database | undefined;
  /** Where it cannot be written, for those who only read. */
  #readOnly: Database | undefined;
  #writer: WriterThread | undefined;
  #longCommits = 0;
  #stopped: HyperplugError | undefined;

  /**
   * @param path of the LMDB file; its locks lie beside it.
   * @param mapBytes as large as the file can grow; default: 4 GiB.
   */
  constructor(path: string, ownSchema: Schema = schema, mapBytes?: number) {
    this.#path = path;
    this.#schema = ownSchema;
    this.#mapBytes = mapBytes;
    this.#queue = new TransactionQueue(path, (jobs) => this.#runBatch(jobs));
  }

  async stop(): Promise<void> {
    if (!this.#stopped) {
      this.#stopped = new HyperplugError('STATE_UNAVAILABLE', `state store ${this.#path}: it was stopped`, {
        details: { path: this.#path, reason: 'stopped' },
      });
    }
    await this.#queue.close(this.#stopped);
    const database = this.#database;
    this.#database = undefined;
    await this.#writer?.close();
    await database?.close();
    await this.#closeReadOnly();
  }

  async #closeReadOnly(): Promise<void> {
    const database = this.#readOnly;
    this.#readOnly = undefined;
    await database?.close();
  }

  /** From now on commits are made in a thread of their own. */
  serve(): void {
    if (!this.#stopped && !this.#writer?.alive) this.#writer = new WriterThread(this.#path);
  }

  async get(key: StateKey, options: CallOptions): Promise<JsonValue | undefined> {
    checkStateKey(key);
    return this.#read(options, (database) => readValue(database, key));
  }

  async list(prefix: StateKey, options: CallOptions): Promise<readonly StateEntry[]> {
    checkStatePrefix(prefix);
    return this.#read(options, (database) => scan(database, prefix).entries);
  }

  async unreadable(prefix: StateKey, options: CallOptions): Promise<readonly UnreadableEntry[]> {
    checkStatePrefix(prefix);
    return this.#read(options, (database) => scan(database, prefix).unreadable);
  }

  async transaction<T>(body: (transaction: StateTransaction) => T, options: CallOptions): Promise<T> {
    if (typeof body !== 'function') throw new TypeError(`body: expected a function, got ${typeof body}`);
    throwIfAborted(options.signal, 'state transaction');
    this.#throwIfStopped();
    return this.#turn(body, options);
  }

  async #read<T>(options: CallOptions, read: (database: Database) => T): Promise<T> {
    throwIfAborted(options.signal, 'state read');
    this.#throwIfStopped();
    const database = await this.#readable(options);
    try {
      // Without this, a read in the same turn of the event loop as an earlier one would see that one's snapshot.
      database.resetReadTxn();
      return read(database);
    } catch (error) {
      throw unavailable(this.#path, error);
    }
  }

  /** Opening takes a turn at the lock, as it may make or migrate the file; on a read-only file system nobody does. */
  async #readable(options: CallOptions): Promise<Database> {
    if (this.#database) return this.#database;
    try {
      await this.#turn(() => undefined, options);
    } catch (error) {
      // Where there is none to be read, why it cannot be made is what has to be said.
      if (!isReadOnly(error) || !existsSync(this.#path)) throw error;
      this.#throwIfStopped();
      this.#readOnly ??= this.#openReadOnly();
      return this.#readOnly;
    }
    return this.#opened();
  }

  #openReadOnly(): Database {
    const database = openReadOnly(this.#path);
    try {
      checkSchema(database, this.#path, this.#schema);
    } catch (error) {
      void database.close();
      throw unavailable(this.#path, error);
    }
    return database;
  }

  #turn<T>(run: (transaction: StateTransaction) => T, { signal }: CallOptions): Promise<T> {
    // Before the lock's own files are made there.
    if (!this.#database) prepareDirectory(this.#path);
    return this.#queue.push(run, signal);
  }

  #throwIfStopped(): void {
    if (this.#stopped) throw this.#stopped;
  }

  #opened(): Database {
    this.#throwIfStopped();
    if (!this.#database) throw new TypeError('state store: used before it was opened');
    return this.#database;
  }

  /** Under the lock. */
  async #runBatch(jobs: readonly QueuedJob[]): Promise<void> {
    let database: Database;
    try {
      database = this.#database ?? (await this.#open());
      database.resetReadTxn();
    } catch (error) {
      for (const job of jobs) job.reject(unavailable(this.#path, error));
      return;
    }
    const writes: Writes = new Map();
    const outcomes: (() => void)[] = [];
    try {
      for (const job of jobs) {
        await loopShare.take();
        outcomes.push(runJob(database, job, writes));
      }
      if (writes.size > 0) await this.#commit(database, writes);
    } catch (error) {
      for (const job of jobs) job.reject(unavailable(this.#path, error));
      return;
    }
    for (const settle of outcomes) {
      await loopShare.take();
      settle();
    }
  }

  async #commit(database: Database, writes: Writes): Promise<void> {
    ensureRoom(this.#path, writes);
    if (await this.#writer?.commit(writes)) return;
    const beganAt = performance.now();
    commitWrites(database, writes);
    if (performance.now() - beganAt < LONG_COMMIT_MS) return;
    this.#longCommits += 1;
    if (this.#longCommits === MANY_COMMITS) this.serve();
  }

  async #open(): Promise<Database> {
    await this.#closeReadOnly();
    if (!existsSync(this.#path)) ensureRoom(this.#path, [['', new Uint8Array()]]);
    const database = openDatabase(this.#path, this.#mapBytes);
    try {
      ensureSchema(database, this.#path, this.#schema);
    } catch (error) {
      await database.close();
      throw unavailable(this.#path, error);
    }
    this.#database = database;
    return database;
  }
}

/** Runs its body and adds what it wrote to `writes`. The result settles it, once these are on disk. */
function runJob(database: Database, { run, signal, resolve, reject }: QueuedJob, writes: Writes): () => void {
  if (signal.aborted) return () => reject(abortError(signal, 'state transaction'));
  const view = new TransactionView(database, writes);
  try {
    const result = runBody(run, view);
    for (const [key, value] of view.writes) writes.set(key, value);
    return () => resolve(result);
  } catch (error) {
    return () => reject(error);
  }
}
