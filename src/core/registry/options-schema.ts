import { z } from 'zod';

/** As much of the Standard Schema interface (https://standardschema.dev) as is used. */
interface StandardSchema {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    validate(value: unknown): unknown;
    readonly jsonSchema?: { input(options: { target: string }): Record<string, unknown> };
  };
}

type StandardResult = { readonly value: unknown; readonly issues?: undefined } | { readonly issues: readonly object[] };

/** For a plugin that takes no options. */
export const NO_OPTIONS = z.strictObject({});
export type NoOptions = typeof NO_OPTIONS;

export interface SchemaProblem {
  readonly expected: string;
  readonly received: unknown;
  readonly got?: string;
}

/** The key that a strict schema must refuse. */
const PROBE = 'hyperplug-probe-of-unknown-keys';

const isObjectLike = (value: unknown): value is object =>
  (typeof value === 'object' || typeof value === 'function') && value !== null;

const isStandard = (value: unknown): value is StandardSchema =>
  isObjectLike(value) && typeof member(value, '~standard', 'validate') === 'function';

/** Zod keeps `~standard` on the prototype or as a getter, so own properties are not enough. */
const member = (value: object, first: string, second: string): unknown =>
  (value as Record<string, Record<string, unknown> | undefined>)[first]?.[second];

/**
 * The options schema of a plugin as a zod schema of ours. A zod 4 schema is taken as it is, also one of another copy of
 * zod; any other Standard Schema is wrapped; undefined means that there are no options.
 * @returns the expectation that it does not meet, where it cannot be used.
 */
export function optionsSchema(options: unknown): z.ZodType | SchemaProblem {
  if (options === undefined) return NO_OPTIONS;
  if (!isStandard(options)) return { expected: 'a zod schema, another Standard Schema, or nothing', received: options };
  const schema = '_zod' in options ? (options as unknown as z.ZodType) : wrapped(options);
  try {
    if (schema.safeParse({ [PROBE]: 1 }).success)
      return { expected: 'a strict schema', received: options, got: 'one that accepts unknown keys' };
    if ([null, [], 'text', 1, true].some((value) => schema.safeParse(value).success)) {
      return { expected: 'a schema of an object', received: options, got: 'one that accepts something else' };
    }
  } catch (cause) {
    const got = `one that threw: ${cause instanceof Error ? cause.message : cause}`;
    return { expected: 'a synchronous schema that does not throw', received: options, got };
  }
  return schema;
}

function wrapped(schema: StandardSchema): z.ZodType {
  const described = jsonSchemaOf(schema);
  return z
    .unknown()
    .transform((value, context) => {
      const result = schema['~standard'].validate(value);
      if (result instanceof Promise) throw new TypeError('validate() returned a promise');
      const { issues } = result as StandardResult;
      if (!issues) return (result as { value: unknown }).value;
      for (const issue of issues as { message: string; path?: readonly unknown[] }[]) {
        const path = (issue.path ?? []).map((part) =>
          typeof part === 'object' && part !== null ? (part as { key: PropertyKey }).key : (part as PropertyKey),
        );
        context.addIssue({ code: 'custom', message: issue.message, path });
      }
      return z.NEVER;
    })
    .meta(described);
}

function jsonSchemaOf(schema: StandardSchema): Record<string, unknown> {
  try {
    const { $schema: _, ...described } = schema['~standard'].jsonSchema?.input({ target: 'draft-2020-12' }) ?? {};
    return { type: 'object', ...described };
  } catch {
    return { type: 'object' };
  }
}
