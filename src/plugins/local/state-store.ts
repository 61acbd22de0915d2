import { abortError, type CallOptions, throwIfAborted } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { JsonValue } from '../../core/json.js';
import { checkStateKey, checkStatePrefix } from '../../core/state/keys.js';
import { runBody } from '../../core/state/transaction-body.js';
import type {
  StateEntry,
  StateKey,
  StateStore,
  StateStoreCapabilities,
  StateTransaction,
  UnreadableEntry,
} from '../../core/state-store.js';
import { type Database, openDatabase, prepareDirectory, unavailable } from './state-file.js';
import { ensureSchema, type Schema, schema } from './state-schema.js';
import { LmdbView, readValue, scan } from './state-view.js';
import { type QueuedJob, TransactionQueue } from './transaction-queue.js';

export const STATE_CAPABILITIES: StateStoreCapabilities = Object.freeze({ durable: true, multiProcess: true });

/**
 * Records in one LMDB file. Any number of processes may have it open; each opens it at its first call.
 * Reads never wait. Transactions take turns across processes, and those of one process that wait share a commit.
 */
export class LocalStateStore implements StateStore {
  readonly name = 'local';
  readonly capabilities = STATE_CAPABILITIES;
  readonly #path: string;
  readonly #schema: Schema;
  readonly #queue: TransactionQueue;
  #database: Database | undefined;
  #stopped: HyperplugError | undefined;

  /** @param path of the LMDB file; its locks lie beside it. */
  constructor(path: string, ownSchema: Schema = schema) {
    this.#path = path;
    this.#schema = ownSchema;
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
    await database?.close();
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
    return this.#turn(() => runIn(this.#opened(), body, options.signal), options);
  }

  async #read<T>(options: CallOptions, read: (database: Database) => T): Promise<T> {
    throwIfAborted(options.signal, 'state read');
    this.#throwIfStopped();
    // Opening takes a turn at the lock, as it may make or migrate the file.
    if (!this.#database) await this.#turn(() => undefined, options);
    const database = this.#opened();
    try {
      // Without this, a read in the same turn of the event loop as an earlier one would see that one's snapshot.
      database.resetReadTxn();
      return read(database);
    } catch (error) {
      throw unavailable(this.#path, error);
    }
  }

  #turn<T>(run: () => T, { signal }: CallOptions): Promise<T> {
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
    } catch (error) {
      for (const job of jobs) job.reject(error);
      return;
    }
    const outcomes: (() => void)[] = [];
    try {
      if (jobs.length === 1) {
        const [job] = jobs as [QueuedJob];
        const value = database.transactionSync(job.run);
        outcomes.push(() => job.resolve(value));
      } else {
        database.transactionSync(() => {
          for (const job of jobs) outcomes.push(runAsChild(database, job));
        });
      }
    } catch (error) {
      for (const job of jobs) job.reject(error instanceof BodyFailure ? error.reason : unavailable(this.#path, error));
      return;
    }
    for (const settle of outcomes) settle();
  }

  async #open(): Promise<Database> {
    const database = openDatabase(this.#path);
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

/** What a body threw, as opposed to what LMDB did. */
class BodyFailure {
  constructor(readonly reason: unknown) {}
}

/** @throws BodyFailure; anything else is LMDB's. */
function runIn<T>(database: Database, body: (transaction: StateTransaction) => T, signal: AbortSignal): T {
  if (signal.aborted) throw new BodyFailure(abortError(signal, 'state transaction'));
  const view = new LmdbView(database);
  let result: T;
  try {
    result = runBody(body, view);
  } catch (error) {
    throw view.failure ? view.failure.reason : new BodyFailure(error);
  }
  if (view.failure) throw view.failure.reason;
  return result;
}

function runAsChild(database: Database, job: QueuedJob): () => void {
  try {
    const value = database.transactionSync(job.run);
    return () => job.resolve(value);
  } catch (error) {
    if (error instanceof BodyFailure) return () => job.reject(error.reason);
    throw error;
  }
}
