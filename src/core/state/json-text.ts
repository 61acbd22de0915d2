import type { JsonValue } from '../json.js';

const MAX_DEPTH = 100;

/**
 * A value as JSON text. Properties that are undefined are left out, as JSON does; everything else that JSON would lose or
 * change in silence is refused.
 * @throws TypeError naming the place of what is not JSON.
 */
export function jsonText(value: JsonValue): string {
  const wrong = wrongIn(value, 0);
  if (!wrong) return JSON.stringify(value);
  const place = `value${wrong.place}`;
  throw new TypeError(`${wrong.deep ? `${place.slice(0, 80)}…` : place}: ${wrong.what}`);
}

interface Wrong {
  /** Below the value that was looked at: `.name[0]`. */
  readonly place: string;
  readonly what: string;
  readonly deep?: true;
}

/** The place is put together only where something is wrong: this runs at each write. */
function wrongIn(value: unknown, depth: number): Wrong | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined;
  if (typeof value === 'number' && Number.isFinite(value)) return undefined;
  if (typeof value !== 'object') return { place: '', what: `expected JSON, got ${describe(value)}` };
  if (depth === MAX_DEPTH) return { place: '', what: 'nested too deeply, or a cycle', deep: true };
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const wrong = wrongIn(value[index], depth + 1);
      if (wrong) return { ...wrong, place: `[${index}]${wrong.place}` };
    }
    return undefined;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) {
    return { place: '', what: `expected JSON, got a ${value.constructor?.name ?? 'class instance'}` };
  }
  for (const [name, part] of Object.entries(value)) {
    const wrong = part === undefined ? undefined : wrongIn(part, depth + 1);
    if (wrong) return { ...wrong, place: `.${name}${wrong.place}` };
  }
  return undefined;
}

const describe = (value: unknown) => (typeof value === 'number' ? String(value) : `a value of type ${typeof value}`);
