import { isUtf8 } from 'node:buffer';
import { HyperplugError } from '../../core/errors.js';
import type { JsonValue } from '../../core/json.js';
import { jsonText } from '../../core/state/json-text.js';
import type { StateKey } from '../../core/state-store.js';

/** Version of the envelope around each value. */
export const ENVELOPE_VERSION = 1;

/** Sorts below every character that a part may hold, so bytes sort as keys do, part by part. */
const SEPARATOR = '\0';

/** No key starts with it. */
export const SCHEMA_KEY = Buffer.from('\x01schema', 'latin1');

export function encodeKey(key: StateKey): Buffer {
  return Buffer.from(key.join(SEPARATOR), 'latin1');
}

export function decodeKey(bytes: Uint8Array): StateKey {
  return Buffer.from(bytes).toString('latin1').split(SEPARATOR);
}

/** First and past-last key of what lies below `prefix`. */
export function boundsBelow(prefix: StateKey): { readonly start: Buffer; readonly end: Buffer } {
  if (prefix.length === 0) return { start: Buffer.from([2]), end: Buffer.from([0xff]) };
  const text = prefix.join(SEPARATOR);
  return { start: Buffer.from(`${text}\0`, 'latin1'), end: Buffer.from(`${text}\x01`, 'latin1') };
}

/** @throws TypeError when the value is not JSON. */
export function encodeValue(value: JsonValue): Buffer {
  return Buffer.from(`{"v":${ENVELOPE_VERSION},"value":${jsonText(value)}}`, 'utf8');
}

/** @throws STATE_CORRUPT, STATE_VERSION. */
export function decodeValue(key: StateKey, bytes: Uint8Array): JsonValue {
  const name = key.join(' / ');
  let envelope: { v?: unknown; value?: JsonValue };
  try {
    if (!isUtf8(bytes)) throw new TypeError('its text is not UTF-8');
    envelope = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw new HyperplugError('STATE_CORRUPT', `record ${name}: not JSON: ${(cause as Error).message}`, {
      cause,
      details: { key },
    });
  }
  const version = envelope?.v;
  if (Number.isInteger(version) && (version as number) > ENVELOPE_VERSION) {
    const message = `record ${name}: written in version ${version}, this program reads up to ${ENVELOPE_VERSION}`;
    throw new HyperplugError('STATE_VERSION', message, { details: { key, version } });
  }
  if (version !== ENVELOPE_VERSION || envelope.value === undefined) {
    throw new HyperplugError('STATE_CORRUPT', `record ${name}: its envelope is not {v, value}`, { details: { key } });
  }
  return envelope.value;
}
