import type { JsonValue } from '../../../core/json.js';
import { protocolError, type QmpObject } from './codec.js';

/** What QEMU sends, sorted. docs/interop/qmp-spec.rst, section "Protocol Specification". */
export type QmpMessage =
  | { readonly kind: 'greeting'; readonly version: string }
  | { readonly kind: 'return'; readonly id: number; readonly value: JsonValue }
  /** Without an id: QEMU could not read what we sent. */
  | {
      readonly kind: 'error';
      readonly id: number | undefined;
      readonly errorClass: string;
      readonly description: string;
    }
  | { readonly kind: 'event'; readonly name: string; readonly data: QmpObject };

/** @throws QMP_PROTOCOL */
export function classify(object: QmpObject): QmpMessage {
  if (isObject(object.QMP)) return { kind: 'greeting', version: greetingVersion(object.QMP) };
  if (typeof object.event === 'string') {
    return { kind: 'event', name: object.event, data: isObject(object.data) ? object.data : {} };
  }
  if ('return' in object && typeof object.id === 'number') {
    return { kind: 'return', id: object.id, value: object.return as JsonValue };
  }
  const { error } = object;
  if (isObject(error) && typeof error.class === 'string' && typeof error.desc === 'string') {
    const id = typeof object.id === 'number' ? object.id : undefined;
    return { kind: 'error', id, errorClass: error.class, description: error.desc };
  }
  throw protocolError('an object that is no QMP message', JSON.stringify(object));
}

export function isObject(value: JsonValue | undefined): value is QmpObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function greetingVersion(greeting: QmpObject): string {
  const version = isObject(greeting.version) ? greeting.version.qemu : undefined;
  if (!isObject(version)) throw protocolError('a greeting without a version', JSON.stringify(greeting));
  return [version.major, version.minor, version.micro].join('.');
}
