import type { z } from 'zod';
import { shown } from './errors.js';

/** A schema node with what `.meta()` and `.describe()` said of it on the way through its wrappers. */
export interface SchemaNode {
  readonly schema: z.core.$ZodType;
  readonly meta: Readonly<Record<string, unknown>>;
  /** What its value is where nothing is given; `has` false: it must be given, or may stay undefined. */
  readonly default: { readonly has: boolean; readonly value?: unknown };
  readonly optional: boolean;
}

/** Zod keeps its registry global, so metadata of another copy of zod is seen as well. */
type Metadata = Record<string, unknown> | undefined;
const metadataOf = (schema: z.core.$ZodType): Metadata =>
  (schema as unknown as { meta?: () => Metadata }).meta?.() ?? undefined;

const WRAPPERS = new Set(['optional', 'nullable', 'nonoptional', 'default', 'prefault', 'readonly', 'catch', 'lazy']);

/** Takes the wrappers (optional, default, nullable, …) off a schema, down to what describes the value itself. */
export function unwrap(schema: z.core.$ZodType): SchemaNode {
  let meta: Record<string, unknown> = {};
  let preset: SchemaNode['default'] = { has: false };
  let optional = false;
  let at = schema;
  for (;;) {
    meta = { ...metadataOf(at), ...meta };
    const def = at._zod.def as {
      type: string;
      innerType?: z.core.$ZodType;
      in?: z.core.$ZodType;
      out?: z.core.$ZodType;
    } & {
      defaultValue?: unknown;
      getter?: () => z.core.$ZodType;
    };
    if (def.type === 'optional') optional = true;
    if ((def.type === 'default' || def.type === 'prefault') && !preset.has)
      preset = { has: true, value: def.defaultValue };
    let next: z.core.$ZodType | undefined;
    if (WRAPPERS.has(def.type)) next = def.innerType ?? def.getter?.();
    else if (def.type === 'pipe') next = def.in?._zod.def.type === 'transform' ? def.out : def.in;
    if (!next) return { schema: at, meta, default: preset, optional };
    at = next;
  }
}

/** The named members of an object schema; undefined for anything else. */
export function shapeOf(schema: z.core.$ZodType): Readonly<Record<string, z.core.$ZodType>> | undefined {
  const def = unwrap(schema).schema._zod.def as { type: string; shape?: Record<string, z.core.$ZodType> };
  return def.type === 'object' ? def.shape : undefined;
}

/** The schema of the member `key`: of an object, record, array or tuple. */
export function memberOf(schema: z.core.$ZodType, key: PropertyKey): z.core.$ZodType | undefined {
  const def = unwrap(schema).schema._zod.def as {
    type: string;
    shape?: Record<string, z.core.$ZodType>;
    catchall?: z.core.$ZodType;
    valueType?: z.core.$ZodType;
    element?: z.core.$ZodType;
    items?: z.core.$ZodType[];
    rest?: z.core.$ZodType | null;
    options?: z.core.$ZodType[];
  };
  switch (def.type) {
    case 'object':
      return def.shape && Object.hasOwn(def.shape, key) ? def.shape[String(key)] : def.catchall;
    case 'record':
      return def.valueType;
    case 'array':
      return def.element;
    case 'tuple':
      return def.items?.[Number(key)] ?? def.rest ?? undefined;
    case 'union':
      for (const option of def.options ?? []) {
        const member = memberOf(option, key);
        if (member) return member;
      }
      return undefined;
    default:
      return undefined;
  }
}

/** The node at `path`, or undefined where the schema says nothing of it. */
export function nodeAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): SchemaNode | undefined {
  let at: z.core.$ZodType | undefined = schema;
  for (const key of path) {
    at = memberOf(at, key);
    if (!at) return undefined;
  }
  return unwrap(at);
}

/** Whether the value at `path`, or anything it is part of, was marked `.meta({ [mark]: true })`; members of unions included. */
export function isMarked(schema: z.core.$ZodType, path: readonly PropertyKey[], mark: string): boolean {
  for (let length = 0; length <= path.length; length++) {
    const node = nodeAt(schema, path.slice(0, length));
    if (!node) return false;
    if (marks(node, mark)) return true;
  }
  return false;
}

function marks(node: SchemaNode, mark: string): boolean {
  if (node.meta[mark] === true) return true;
  const options = (node.schema._zod.def as { options?: z.core.$ZodType[] }).options;
  return node.schema._zod.def.type === 'union' && (options ?? []).some((option) => marks(unwrap(option), mark));
}

/**
 * What an error message may show of the value at `path`: nothing of one marked secret, and of an object or a list, which
 * may hold one, only its keys or length.
 */
export function shownSafely(schema: z.core.$ZodType, path: readonly PropertyKey[], value: unknown): string {
  if (value !== undefined && isMarked(schema, path, 'secret')) return '***';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value !== 'object' || value === null) return shown(value);
  const keys = Object.keys(value);
  return keys.length === 0 ? 'an empty object' : `an object with ${keys.slice(0, 8).join(', ')}`;
}
