import type { CallOptions } from '../calls.js';
import { HyperplugError, hasCode } from '../errors.js';
import type { JsonValue } from '../json.js';
import type { StateStore } from '../state-store.js';
import { appendEvents, type PodEventInput } from './events/event-log.js';
import { type PodRecord, podKey, podRecordJson, podsPrefix, readPodRecord } from './record.js';

/**
 * Pod records in the state store. A record that cannot be read is kept, and never answered as if it were not there. What
 * is told of a change is written with it; `announce` is called once it is.
 */
export class PodStore {
  constructor(
    readonly state: StateStore,
    private readonly announce: () => void = () => {},
  ) {}

  /** @throws POD_ALREADY_EXISTS. */
  async create(record: PodRecord, options: CallOptions): Promise<void> {
    await this.state.transaction((transaction) => {
      if (transaction.get(podKey(record.id)) !== undefined) {
        throw new HyperplugError('POD_ALREADY_EXISTS', `id: a pod named ${record.id} exists already`, {
          details: { field: 'id', received: record.id },
        });
      }
      transaction.put(podKey(record.id), podRecordJson(record));
    }, options);
  }

  /**
   * Changes a record that is there, in one transaction; `change` sees it as it is now.
   * @throws POD_NOT_FOUND it was removed meanwhile; POD_NOT_RUNNING it is being removed; STATE_VERSION.
   */
  async update(
    id: string,
    change: (record: PodRecord) => PodRecord,
    options: CallOptions,
    events: readonly PodEventInput[] = [],
  ): Promise<PodRecord> {
    const changed = await this.state.transaction((transaction) => {
      const before = checkedRecord(id, transaction.get(podKey(id)));
      if (before.state === 'removing') {
        throw new HyperplugError('POD_NOT_RUNNING', `pod ${id} is being removed`);
      }
      const after = change(before);
      transaction.put(podKey(id), podRecordJson(after));
      appendEvents(transaction, events);
      return after;
    }, options);
    if (events.length > 0) this.announce();
    return changed;
  }

  /** From now on it can only be removed. Idempotent. @throws POD_NOT_FOUND, STATE_VERSION. */
  async markRemoving(id: string, change: Pick<PodRecord, 'manager'>, options: CallOptions): Promise<PodRecord> {
    return this.state.transaction((transaction) => {
      const before = checkedRecord(id, transaction.get(podKey(id)));
      const after: PodRecord = { ...before, ...change, state: 'removing' };
      transaction.put(podKey(id), podRecordJson(after));
      return after;
    }, options);
  }

  async delete(id: string, options: CallOptions, events: readonly PodEventInput[] = []): Promise<void> {
    const told = await this.state.transaction((transaction) => {
      if (!transaction.delete(podKey(id))) return false;
      appendEvents(transaction, events);
      return events.length > 0;
    }, options);
    if (told) this.announce();
  }

  /** @throws POD_NOT_FOUND, STATE_VERSION. */
  async read(id: string, options: CallOptions): Promise<PodRecord> {
    return checkedRecord(id, await this.state.get(podKey(id), options));
  }

  /** Whether there is a record of this pod, and of a kind that this version can read. */
  async find(id: string, options: CallOptions): Promise<'none' | 'unreadable' | PodRecord> {
    try {
      const value = await this.state.get(podKey(id), options);
      return value === undefined ? 'none' : (readPodRecord(value) ?? 'unreadable');
    } catch (error) {
      if (hasCode(error, 'STATE_KEY_INVALID')) return 'none';
      if (hasCode(error, 'STATE_CORRUPT', 'STATE_VERSION')) return 'unreadable';
      throw error;
    }
  }

  /** Records that list() leaves out, and why. */
  async unreadable(options: CallOptions): Promise<{ readonly id: string; readonly why: string }[]> {
    const broken = await this.state.unreadable(podsPrefix, options);
    const strange = (await this.state.list(podsPrefix, options)).filter(({ value }) => !readPodRecord(value));
    const why = 'its record was written by another version of this program';
    return [
      ...broken.map(({ key, error }) => ({ id: key.at(-1) ?? '', why: error.message })),
      ...strange.map(({ key }) => ({ id: key.at(-1) ?? '', why })),
    ];
  }

  /** Every readable record. */
  async list(options: CallOptions): Promise<PodRecord[]> {
    const entries = await this.state.list(podsPrefix, options);
    return entries.flatMap((entry) => readPodRecord(entry.value) ?? []);
  }
}

function checkedRecord(id: string, value: JsonValue | undefined): PodRecord {
  if (value === undefined) {
    throw new HyperplugError('POD_NOT_FOUND', `no pod named ${id}`, { details: { field: 'pod', received: id } });
  }
  const record = readPodRecord(value);
  if (record) return record;
  throw new HyperplugError('STATE_VERSION', `the record of pod ${id} was written by another version; it is kept`);
}
