import type { CallOptions } from '../calls.js';
import { HyperplugError } from '../errors.js';
import type { StateStore } from '../state-store.js';
import { type PodRecord, podKey, podRecordJson, podsPrefix, readPodRecord } from './record.js';

/** Pod records in the state store. A record that cannot be read is kept, and never answered as if it were not there. */
export class PodStore {
  constructor(private readonly state: StateStore) {}

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

  async write(record: PodRecord, options: CallOptions): Promise<void> {
    await this.state.transaction((transaction) => transaction.put(podKey(record.id), podRecordJson(record)), options);
  }

  async delete(id: string, options: CallOptions): Promise<void> {
    await this.state.transaction((transaction) => transaction.delete(podKey(id)), options);
  }

  /** @throws POD_NOT_FOUND, STATE_VERSION. */
  async read(id: string, options: CallOptions): Promise<PodRecord> {
    const value = await this.state.get(podKey(id), options);
    if (value === undefined) {
      throw new HyperplugError('POD_NOT_FOUND', `no pod named ${id}`, { details: { field: 'pod', received: id } });
    }
    const record = readPodRecord(value);
    if (!record) {
      throw new HyperplugError('STATE_VERSION', `the record of pod ${id} was written by another version; it is kept`);
    }
    return record;
  }

  /** Every readable record. */
  async list(options: CallOptions): Promise<PodRecord[]> {
    const entries = await this.state.list(podsPrefix, options);
    return entries.flatMap((entry) => readPodRecord(entry.value) ?? []);
  }
}
