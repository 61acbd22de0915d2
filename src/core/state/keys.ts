import { fieldError } from '../errors.js';
import type { StateKey } from '../state-store.js';

const MAX_PARTS = 8;
const PART = /^[A-Za-z0-9._:/-]{1,128}$/;

/** @throws STATE_KEY_INVALID naming the part that is wrong. */
export function checkStateKey(key: StateKey): void {
  checkParts(key, 1);
}

/** A prefix is a key, or empty, which stands for everything. @throws STATE_KEY_INVALID. */
export function checkStatePrefix(prefix: StateKey): void {
  checkParts(prefix, 0);
}

function checkParts(key: StateKey, minimum: number): void {
  if (!Array.isArray(key) || key.length < minimum || key.length > MAX_PARTS) {
    throw fieldError('STATE_KEY_INVALID', 'key', `${minimum} to ${MAX_PARTS} parts`, key);
  }
  for (const [index, part] of key.entries()) {
    if (typeof part !== 'string' || !PART.test(part)) {
      throw fieldError('STATE_KEY_INVALID', `key[${index}]`, '1 to 128 characters of A-Z a-z 0-9 . _ : / -', part);
    }
  }
}

/** Part by part, each by its characters' codes; a key comes before those below it. */
export function compareStateKeys(one: StateKey, other: StateKey): number {
  for (let index = 0; index < one.length && index < other.length; index++) {
    const a = one[index] as string;
    const b = other[index] as string;
    if (a !== b) return a < b ? -1 : 1;
  }
  return one.length - other.length;
}

/** Whether `key` lies below `prefix`; not when they are equal. */
export function isBelow(key: StateKey, prefix: StateKey): boolean {
  return key.length > prefix.length && prefix.every((part, index) => key[index] === part);
}
