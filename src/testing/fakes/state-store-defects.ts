import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { JsonValue } from '../../core/json.js';
import { isBelow } from '../../core/state/keys.js';
import type { StateEntry, StateKey, StateTransaction, UnreadableEntry } from '../../core/state-store.js';
import { FakeStateMedium, FakeStateStore, type FakeStateStoreOptions } from './state-store.js';

export type FakeStateStoreClass = new (options: FakeStateStoreOptions) => FakeStateStore;

type Run = <T>(body: (transaction: StateTransaction) => T, view: StateTransaction) => T;
const unguarded: Run = (body, view) => body(view);

/** Stores that are each wrong in one way. What the contract says of each is in a test of its own. */
export const stateStoreDefects: Readonly<Record<string, FakeStateStoreClass>> = {
  'a failed body leaves its writes': class extends FakeStateStore {
    override async transaction<T>(body: (transaction: StateTransaction) => T, options: CallOptions): Promise<T> {
      this.checkCall(options);
      return this.run(body, this.view(this.medium.records));
    }
  },
  'keeps the object that was put': class extends FakeStateStore {
    protected override encode(value: JsonValue): unknown {
      super.encode(value);
      return { kept: value };
    }
    protected override decode(key: StateKey, stored: unknown): JsonValue {
      const { kept } = stored as { kept?: JsonValue };
      return kept === undefined ? super.decode(key, stored) : JSON.parse(JSON.stringify(kept));
    }
  },
  'hands out the object that it holds': class extends FakeStateStore {
    readonly #decoded = new Map<unknown, JsonValue>();
    protected override decode(key: StateKey, stored: unknown): JsonValue {
      const known = this.#decoded.get(stored);
      if (known !== undefined) return known;
      const value = super.decode(key, stored);
      this.#decoded.set(stored, value);
      return value;
    }
  },
  'lists in the order of writing': class extends FakeStateStore {
    protected override sort(keys: StateKey[]): StateKey[] {
      return keys;
    }
  },
  'orders whole texts, not parts': class extends FakeStateStore {
    protected override sort(keys: StateKey[]): StateKey[] {
      return keys.sort((one, other) => (one.join('/') < other.join('/') ? -1 : 1));
    }
  },
  'takes a prefix for text: `a` lists `ab`': class extends FakeStateStore {
    protected override isListed(key: StateKey, prefix: StateKey): boolean {
      return key.join('\0').startsWith(prefix.join('\0')) && key.length > prefix.length;
    }
  },
  'lists the entry at the prefix': class extends FakeStateStore {
    protected override isListed(key: StateKey, prefix: StateKey): boolean {
      return isBelow(key, prefix) || key.join('\0') === prefix.join('\0');
    }
  },
  'takes any text for a key': class extends FakeStateStore {
    protected override checkKey(): void {}
    protected override checkPrefix(): void {}
  },
  'takes a corrupt record for an absent one': class extends FakeStateStore {
    protected override view(records: Map<string, unknown>): StateTransaction {
      const view = super.view(records);
      const get = (key: StateKey) => {
        try {
          return view.get(key);
        } catch (error) {
          if (error instanceof HyperplugError && error.code === 'STATE_CORRUPT') return undefined;
          throw error;
        }
      };
      return { ...view, get };
    }
  },
  'reads records of a newer version': class extends FakeStateStore {
    protected override decode(key: StateKey, stored: unknown): JsonValue {
      try {
        return super.decode(key, stored);
      } catch (error) {
        if (error instanceof HyperplugError && error.code === 'STATE_VERSION')
          return JSON.parse(stored as string).value;
        throw error;
      }
    }
  },
  'tidies unreadable records away': class extends FakeStateStore {
    protected override scan(
      records: Map<string, unknown>,
      prefix: StateKey,
    ): { entries: StateEntry[]; unreadable: UnreadableEntry[] } {
      const found = super.scan(records, prefix);
      for (const { key } of found.unreadable) records.delete(key.join('\0'));
      return found;
    }
  },
  'says nothing of unreadable records': class extends FakeStateStore {
    override async unreadable(prefix: StateKey, options: CallOptions): Promise<readonly UnreadableEntry[]> {
      await super.unreadable(prefix, options);
      return [];
    }
  },
  'commits bodies that return promises': class extends FakeStateStore {
    protected override run<T>(body: (transaction: StateTransaction) => T, view: StateTransaction): T {
      let result: T | undefined;
      super.run((transaction) => {
        result = body(transaction);
        if (result instanceof Promise) result.catch(() => {});
      }, view);
      return result as T;
    }
  },
  'lets the view outlive the body': class extends FakeStateStore {
    protected override run<T>(body: (transaction: StateTransaction) => T, view: StateTransaction): T {
      const result = unguarded(body, view);
      if (result instanceof Promise) {
        result.catch(() => {});
        throw new TypeError('transaction: its body must be synchronous');
      }
      return result;
    }
  },
  'hides its own writes from the body': class extends FakeStateStore {
    protected override view(records: Map<string, unknown>): StateTransaction {
      const before = super.view(new Map(records));
      return { ...super.view(records), get: before.get };
    }
  },
  'loses updates: reads before it waits': class extends FakeStateStore {
    override async transaction<T>(body: (transaction: StateTransaction) => T, options: CallOptions): Promise<T> {
      this.checkCall(options);
      const draft = new Map(this.medium.records);
      const result = this.run(body, this.view(draft));
      await new Promise((resolve) => setImmediate(resolve));
      this.commit(draft);
      return result;
    }
  },
  'runs a body again when it took long': class extends FakeStateStore {
    #calls = 0;
    override transaction<T>(body: (transaction: StateTransaction) => T, options: CallOptions): Promise<T> {
      if (++this.#calls % 10 !== 0) return super.transaction(body, options);
      return super
        .transaction(() => undefined, options)
        .then(() => {
          this.run(body, this.view(new Map(this.medium.records)));
          return super.transaction(body, options);
        });
    }
  },
  'goes on after an abort': class extends FakeStateStore {
    protected override checkCall(): void {
      super.checkCall({ signal: new AbortController().signal });
    }
  },
  'wraps the reason of an abort': class extends FakeStateStore {
    protected override checkCall(options: CallOptions): void {
      if (options.signal.aborted) throw new HyperplugError('ABORTED', 'aborted', { cause: options.signal.reason });
      super.checkCall(options);
    }
  },
  'works after stop()': class extends FakeStateStore {
    override async stop(): Promise<void> {}
  },
  'fails at a second stop()': class extends FakeStateStore {
    override async stop(options: CallOptions): Promise<void> {
      if (this.stopped) throw new HyperplugError('STATE_UNAVAILABLE', 'fake state store: it was stopped');
      await super.stop(options);
    }
  },
  'always says that it deleted': class extends FakeStateStore {
    protected override view(records: Map<string, unknown>): StateTransaction {
      const view = super.view(records);
      return { ...view, delete: (key) => view.delete(key) || true };
    }
  },
  'turns what is not JSON into null': class extends FakeStateStore {
    protected override encode(value: JsonValue): unknown {
      return `{"v":1,"value":${JSON.stringify(value) ?? 'null'}}`;
    }
  },
  'keeps half of a commit that failed': class extends FakeStateStore {
    protected override commit(draft: Map<string, unknown>): void {
      if (this.medium.failNextCommit) this.medium.records = new Map(draft);
      super.commit(draft);
    }
  },
  'swallows the failure of a commit': class extends FakeStateStore {
    protected override commit(draft: Map<string, unknown>): void {
      try {
        super.commit(draft);
      } catch {
        // the defect
      }
    }
  },
  'is gone when it is reopened': class extends FakeStateStore {
    constructor(options: FakeStateStoreOptions) {
      super({ ...options, medium: new FakeStateMedium() });
    }
  },
  'reads from a cache of its own': class extends FakeStateStore {
    readonly #cache = new Map<string, JsonValue | undefined>();
    override async get(key: StateKey, options: CallOptions): Promise<JsonValue | undefined> {
      const fresh = await super.get(key, options);
      const name = key.join('\0');
      if (this.#cache.has(name)) return structuredClone(this.#cache.get(name));
      this.#cache.set(name, fresh);
      return structuredClone(fresh);
    }
    protected override commit(draft: Map<string, unknown>): void {
      super.commit(draft);
      this.#cache.clear();
    }
  },
};
