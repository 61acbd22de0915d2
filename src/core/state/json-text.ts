import type { JsonValue } from '../json.js';

const MAX_DEPTH = 100;

/**
 * A value as JSON text. Properties that are undefined are left out, as JSON does; everything else that JSON would lose or
 * change in silence is refused.
 * @throws TypeError naming the place of what is not JSON.
 */
export function jsonText(value: JsonValue): string {
  check(value, 'value', 0);
  return JSON.stringify(value);
}

function check(value: unknown, place: string, depth: number): void {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return;
  if (typeof value === 'number' && Number.isFinite(value)) return;
  if (typeof value !== 'object') throw new TypeError(`${place}: expected JSON, got ${describe(value)}`);
  if (depth === MAX_DEPTH) throw new TypeError(`${place.slice(0, 80)}…: nested too deeply, or a cycle`);
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) check(value[index], `${place}[${index}]`, depth + 1);
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) {
    throw new TypeError(`${place}: expected JSON, got a ${value.constructor?.name ?? 'class instance'}`);
  }
  for (const [name, part] of Object.entries(value)) {
    if (part !== undefined) check(part, `${place}.${name}`, depth + 1);
  }
}

const describe = (value: unknown) => (typeof value === 'number' ? String(value) : `a value of type ${typeof value}`);
