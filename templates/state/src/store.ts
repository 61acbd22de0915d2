import {
  type CallOptions,
  checkStateKey,
  checkStatePrefix,
  compareStateKeys,
  HyperplugError,
  isBelow,
  type JsonValue,
  jsonText,
  runBody,
  type StateEntry,
  type StateKey,
  type StateStore,
  type StateTransaction,
  throwIfAborted,
  type UnreadableEntry,
} from 'hyperplug';
import { capabilities } from './capabilities.js';
import { Medium, type Write } from './medium.js';

/** Keys, values and transactions by the contract's rules, on a Medium. */
export class __CLASS__Store implements StateStore {
  readonly name = '__NAME__';
  readonly capabilities = capabilities;
  readonly #medium: Medium;
  #open = false;

  constructor(medium = new Medium()) {
    this.#medium = medium;
  }

  async start({ signal }: CallOptions): Promise<void> {
    throwIfAborted(signal, 'opening the state store');
    await this.#medium.open();
    this.#open = true;
  }

  async stop(_options: CallOptions): Promise<void> {
    this.#open = false;
    await this.#medium.close();
  }

  async get(key: StateKey, options: CallOptions): Promise<JsonValue | undefined> {
    checkStateKey(key);
    this.#usable(options, 'get');
    return this.#read(key);
  }

  async list(prefix: StateKey, options: CallOptions): Promise<readonly StateEntry[]> {
    checkStatePrefix(prefix);
    this.#usable(options, 'list');
    return this.#below(prefix, []);
  }

  async unreadable(prefix: StateKey, options: CallOptions): Promise<readonly UnreadableEntry[]> {
    checkStatePrefix(prefix);
    this.#usable(options, 'unreadable');
    // Entries that Medium cannot read belong here, each with STATE_CORRUPT or STATE_VERSION; they are kept until deleted.
    return [];
  }

  async transaction<T>(body: (transaction: StateTransaction) => T, options: CallOptions): Promise<T> {
    this.#usable(options, 'transaction');
    const writes: Write[] = [];
    const result = runBody(body, this.#view(writes));
    if (writes.length > 0) this.#medium.commit(writes);
    return result;
  }

  #usable({ signal }: CallOptions, what: string): void {
    throwIfAborted(signal, what);
    if (!this.#open) throw new HyperplugError('STATE_UNAVAILABLE', `${what}: the state store is not open`);
  }

  #read(key: StateKey): JsonValue | undefined {
    const text = this.#medium.read(key);
    return text === undefined ? undefined : (JSON.parse(text) as JsonValue);
  }

  /** What is there, as the writes of a transaction leave it. */
  #below(prefix: StateKey, writes: readonly Write[]): StateEntry[] {
    const entries = new Map(this.#medium.readAll().map((entry) => [JSON.stringify(entry.key), entry]));
    for (const { key, text } of writes) {
      if (text === null) entries.delete(JSON.stringify(key));
      else entries.set(JSON.stringify(key), { key, value: JSON.parse(text) as JsonValue });
    }
    return [...entries.values()]
      .filter(({ key }) => isBelow(key, prefix))
      .sort((one, other) => compareStateKeys(one.key, other.key));
  }

  #view(writes: Write[]): StateTransaction {
    const textOf = (key: StateKey) => {
      checkStateKey(key);
      const own = writes.findLast((write) => compareStateKeys(write.key, key) === 0);
      return own ? (own.text ?? undefined) : this.#medium.read(key);
    };
    return {
      get: (key) => {
        const text = textOf(key);
        return text === undefined ? undefined : (JSON.parse(text) as JsonValue);
      },
      put: (key, value) => {
        checkStateKey(key);
        writes.push({ key: [...key], text: jsonText(value) });
      },
      delete: (key) => {
        if (textOf(key) === undefined) return false;
        writes.push({ key: [...key], text: null });
        return true;
      },
      list: (prefix) => {
        checkStatePrefix(prefix);
        return this.#below(prefix, writes);
      },
    };
  }
}
