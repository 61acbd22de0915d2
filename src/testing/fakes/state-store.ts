import type { CallOptions } from '../../core/calls.js';
import { throwIfAborted } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { JsonValue } from '../../core/json.js';
import { jsonText } from '../../core/state/json-text.js';
import { checkStateKey, checkStatePrefix, compareStateKeys, isBelow } from '../../core/state/keys.js';
import { runBody } from '../../core/state/transaction-body.js';
import type {
  StateEntry,
  StateKey,
  StateStore,
  StateStoreCapabilities,
  StateTransaction,
  UnreadableEntry,
} from '../../core/state-store.js';

/** What a fake disk holds: key (parts joined by NUL) → text. Stores over one medium share their data. */
export class FakeStateMedium {
  records = new Map<string, unknown>();
  /** The next commit fails, once. */
  failNextCommit = false;

  damage(key: StateKey, how: 'garbage' | 'newer'): void {
    this.records.set(key.join('\0'), how === 'garbage' ? '{"v":1,' : '{"v":99,"value":1}');
  }
}

export interface FakeStateStoreOptions {
  readonly medium?: FakeStateMedium;
  /** As durable as its medium: default neither durable nor shared. */
  readonly capabilities?: StateStoreCapabilities;
}

/** A StateStore in memory. Its protected methods are the places where a test can put a defect. */
export class FakeStateStore implements StateStore {
  readonly name: string = 'fake';
  readonly capabilities: StateStoreCapabilities;
  readonly medium: FakeStateMedium;
  protected stopped = false;

  constructor({ medium, capabilities }: FakeStateStoreOptions = {}) {
    this.medium = medium ?? new FakeStateMedium();
    this.capabilities = Object.freeze({ durable: false, multiProcess: false, ...capabilities });
  }

  async start(_options: CallOptions): Promise<void> {}

  async stop(_options: CallOptions): Promise<void> {
    this.stopped = true;
  }

  async get(key: StateKey, options: CallOptions): Promise<JsonValue | undefined> {
    this.checkCall(options);
    return this.view(this.medium.records).get(key);
  }

  async list(prefix: StateKey, options: CallOptions): Promise<readonly StateEntry[]> {
    this.checkCall(options);
    return this.view(this.medium.records).list(prefix);
  }

  async unreadable(prefix: StateKey, options: CallOptions): Promise<readonly UnreadableEntry[]> {
    this.checkCall(options);
    this.checkPrefix(prefix);
    return this.scan(this.medium.records, prefix).unreadable;
  }

  async transaction<T>(body: (transaction: StateTransaction) => T, options: CallOptions): Promise<T> {
    this.checkCall(options);
    const draft = new Map(this.medium.records);
    const result = this.run(body, this.view(draft));
    this.commit(draft);
    return result;
  }

  protected checkCall({ signal }: CallOptions): void {
    throwIfAborted(signal, 'state call');
    if (this.stopped) throw new HyperplugError('STATE_UNAVAILABLE', 'fake state store: it was stopped');
  }

  protected checkKey(key: StateKey): void {
    checkStateKey(key);
  }

  protected checkPrefix(prefix: StateKey): void {
    checkStatePrefix(prefix);
  }

  protected run<T>(body: (transaction: StateTransaction) => T, view: StateTransaction): T {
    return runBody(body, view);
  }

  protected commit(draft: Map<string, unknown>): void {
    if (this.medium.failNextCommit) {
      this.medium.failNextCommit = false;
      throw new HyperplugError('STATE_UNAVAILABLE', 'fake state store: no space left on device');
    }
    this.medium.records = draft;
  }

  protected encode(value: JsonValue): unknown {
    return `{"v":1,"value":${jsonText(value)}}`;
  }

  /** @throws STATE_CORRUPT, STATE_VERSION. */
  protected decode(key: StateKey, stored: unknown): JsonValue {
    let envelope: { v: number; value: JsonValue };
    try {
      envelope = JSON.parse(stored as string);
    } catch (cause) {
      throw new HyperplugError('STATE_CORRUPT', `record ${key.join(' / ')}: not JSON`, { cause });
    }
    if (envelope.v === 1) return envelope.value;
    throw new HyperplugError('STATE_VERSION', `record ${key.join(' / ')}: written in version ${envelope.v}`);
  }

  protected isListed(key: StateKey, prefix: StateKey): boolean {
    return isBelow(key, prefix);
  }

  protected sort(keys: StateKey[]): StateKey[] {
    return keys.sort(compareStateKeys);
  }

  protected scan(
    records: Map<string, unknown>,
    prefix: StateKey,
  ): { entries: StateEntry[]; unreadable: UnreadableEntry[] } {
    const entries: StateEntry[] = [];
    const unreadable: UnreadableEntry[] = [];
    const keys = [...records.keys()].map((text) => text.split('\0'));
    for (const key of this.sort(keys.filter((each) => this.isListed(each, prefix)))) {
      try {
        entries.push({ key, value: this.decode(key, records.get(key.join('\0'))) });
      } catch (error) {
        unreadable.push({ key, error: error as Error });
      }
    }
    return { entries, unreadable };
  }

  protected view(records: Map<string, unknown>): StateTransaction {
    return {
      get: (key) => {
        this.checkKey(key);
        const stored = records.get(key.join('\0'));
        return stored === undefined ? undefined : this.decode(key, stored);
      },
      put: (key, value) => {
        this.checkKey(key);
        records.set(key.join('\0'), this.encode(value));
      },
      delete: (key) => {
        this.checkKey(key);
        return records.delete(key.join('\0'));
      },
      list: (prefix) => {
        this.checkPrefix(prefix);
        return this.scan(records, prefix).entries;
      },
    };
  }
}
