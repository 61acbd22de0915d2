import type { CallOptions } from '../../calls.js';
import { HyperplugError } from '../../errors.js';
import type { JsonValue } from '../../json.js';
import type { StateKey, StateStore, StateTransaction } from '../../state-store.js';
import type { PodEvent, PodEventType } from '../pods-api.js';

/** What a change of a pod tells; sequence and time are given when it is written. */
export interface PodEventInput {
  readonly pod: string;
  readonly type: PodEventType;
  readonly data?: Readonly<Record<string, JsonValue>>;
}

/** So many are kept; older ones give way. */
export const KEPT_EVENTS = 4096;

export const HEAD_KEY: StateKey = ['pod-events', 'head'];
/** Sorted as text they are sorted by number. */
const keyOf = (sequence: number): StateKey => ['pod-events', 'log', String(sequence).padStart(16, '0')];

/** Written together with the change that they tell of, or not at all. */
export function appendEvents(transaction: StateTransaction, events: readonly PodEventInput[], now = new Date()): void {
  if (events.length === 0) return;
  let sequence = lastSequence(transaction.get(HEAD_KEY));
  for (const { pod, type, data = {} } of events) {
    sequence += 1;
    transaction.put(keyOf(sequence), { sequence, time: now.toISOString(), pod, type, data });
    if (sequence > KEPT_EVENTS) transaction.delete(keyOf(sequence - KEPT_EVENTS));
  }
  transaction.put(HEAD_KEY, { version: 1, last: sequence });
}

/** 0: there has been none. @throws STATE_VERSION */
export function lastSequence(head: JsonValue | undefined): number {
  if (head === undefined) return 0;
  const { version, last } = (head ?? {}) as { version?: unknown; last?: unknown };
  if (version === 1 && Number.isSafeInteger(last)) return last as number;
  throw new HyperplugError('STATE_VERSION', 'the log of pod events was written by another version; it is kept');
}

/** Events after `since`, in their order, and the number of the last that was looked for. */
export async function eventsSince(
  state: StateStore,
  since: number,
  call: CallOptions,
): Promise<{ events: PodEvent[]; last: number }> {
  const last = lastSequence(await state.get(HEAD_KEY, call));
  const events: PodEvent[] = [];
  for (let sequence = Math.max(since, last - KEPT_EVENTS) + 1; sequence <= last; sequence++) {
    const value = await state.get(keyOf(sequence), call);
    if (value !== undefined) events.push(value as unknown as PodEvent);
  }
  return { events, last };
}
