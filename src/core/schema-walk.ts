import type { z } from 'zod';
import { shown } from './errors.js';

/** A schema node with what `.meta()` and `.describe()` said of it on the way through its wrappers. */
export interface SchemaNode {
  readonly schema: z.core.$ZodType;
  readonly meta: Readonly<Record<string, unknown>>;
}

/** Zod keeps its registry global, so metadata of another copy of zod is seen as well. */
type Metadata = Record<string, unknown> | undefined;
const metadataOf = (schema: z.core.$ZodType): Metadata =>
  (schema as unknown as { meta?: () => Metadata }).meta?.() ?? undefined;

const WRAPPERS = new Set(['optional', 'nullable', 'nonoptional', 'default', 'prefault', 'readonly', 'catch', 'lazy']);

/** Takes the wrappers (optional, default, nullable, …) off a schema, down to what describes the value itself. */
export function unwrap(schema: z.core.$ZodType): SchemaNode {
  let meta: Record<string, unknown> = {};
  let at = schema;
  for (;;) {
    meta = { ...metadataOf(at), ...meta };
    const def = at._zod.def as {
      type: string;
      innerType?: z.core.$ZodType;
      in?: z.core.$ZodType;
      out?: z.core.$ZodType;
      getter?: () => z.core.$ZodType;
    };
    let next: z.core.$ZodType | undefined;
    if (WRAPPERS.has(def.type)) next = def.innerType ?? def.getter?.();
    else if (def.type === 'pipe') next = def.in?._zod.def.type === 'transform' ? def.out : def.in;
    if (!next) return { schema: at, meta };
    at = next;
  }
}

/** The named members of an object schema; undefined for anything else. */
export function shapeOf(schema: z.core.$ZodType): Readonly<Record<string, z.core.$ZodType>> | undefined {
  const def = unwrap(schema).schema._zod.def as { type: string; shape?: Record<string, z.core.$ZodType> };
  return def.type === 'object' ? def.shape : undefined;
}

/** The schemas that the member `key` may have: of an object, record, array or tuple, and of each branch of a union. */
function membersOf(schema: z.core.$ZodType, key: PropertyKey): readonly z.core.$ZodType[] {
  const bare = unwrap(schema).schema;
  const def = bare._zod.def as {
    type: string;
    shape?: Record<string, z.core.$ZodType>;
    catchall?: z.core.$ZodType;
    valueType?: z.core.$ZodType;
    element?: z.core.$ZodType;
    items?: z.core.$ZodType[];
    rest?: z.core.$ZodType | null;
  };
  const found = (member: z.core.$ZodType | null | undefined) => (member ? [member] : []);
  switch (def.type) {
    case 'object':
      return found(def.shape && Object.hasOwn(def.shape, key) ? def.shape[String(key)] : def.catchall);
    case 'record':
    case 'map':
      return found(def.valueType);
    case 'array':
      return found(def.element);
    case 'tuple':
      return found(def.items?.[Number(key)] ?? def.rest);
    default:
      return branchesOf(bare).flatMap((branch) => membersOf(branch, key));
  }
}

/** The branches of a union or an intersection; none for anything else. */
function branchesOf(schema: z.core.$ZodType): readonly z.core.$ZodType[] {
  const { options, left, right } = schema._zod.def as {
    options?: readonly z.core.$ZodType[];
    left?: z.core.$ZodType;
    right?: z.core.$ZodType;
  };
  return [...(options ?? []), ...(left && right ? [left, right] : [])];
}

function schemasAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly z.core.$ZodType[] {
  return path.reduce<readonly z.core.$ZodType[]>((all, key) => all.flatMap((each) => membersOf(each, key)), [schema]);
}

/** The node at `path` (of several branches, the first that has it), or undefined where the schema says nothing of it. */
export function nodeAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): SchemaNode | undefined {
  const [first] = schemasAt(schema, path);
  return first && unwrap(first);
}

/**
 * Whether the value at `path`, or anything it is part of, is marked `.meta({ [mark]: true })`; in any branch of a union, as
 * the one that a wrong value was meant for is not known.
 */
export function isMarked(schema: z.core.$ZodType, path: readonly PropertyKey[], mark: string): boolean {
  return [...path.keys(), path.length].some((length) =>
    schemasAt(schema, path.slice(0, length)).some((each) => marks(each, mark)),
  );
}

function marks(schema: z.core.$ZodType, mark: string): boolean {
  const node = unwrap(schema);
  return node.meta[mark] === true || branchesOf(node.schema).some((branch) => marks(branch, mark));
}

/**
 * What an error message may show of the value at `path`: nothing of one marked secret, and of an object or a list, which
 * may hold one, only its keys or length, unless it is a list of plain values where one belongs, of none of which that is said.
 */
export function shownSafely(schema: z.core.$ZodType, path: readonly PropertyKey[], value: unknown): string {
  if (value !== undefined && isMarked(schema, path, 'secret')) return '***';
  if (Array.isArray(value)) {
    const plain = value.length > 0 && value.every((each) => typeof each !== 'object');
    const isPlace = nodeAt(schema, path)?.schema._zod.def.type === 'array' && !isMarked(schema, [...path, 0], 'secret');
    return plain && isPlace ? shown(value) : `a list of ${value.length}`;
  }
  if (typeof value !== 'object' || value === null) return shown(value);
  const keys = Object.keys(value);
  return keys.length === 0 ? 'an empty object' : `an object with ${keys.slice(0, 8).join(', ')}`;
}
