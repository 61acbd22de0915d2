import type { z } from 'zod';
import { HyperplugError, shown } from '../core/errors.js';
import { dotted, schemaIssues } from '../core/schema-issues.js';

const MAX_ISSUES = 8;

/** @throws API_REQUEST_INVALID that names each wrong field below `where`, what was expected and what came. */
export function parsed<S extends z.ZodType>(schema: S, value: unknown, where: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = schemaIssues(result.error.issues, value).slice(0, MAX_ISSUES);
  const texts = issues.map(({ path, expected, received }) => {
    return { field: dotted([where, ...path]), expected, received: shown(received) };
  });
  const words = texts.map(({ field, expected, received }) => `${field}: expected ${expected}, got ${received}`);
  throw new HyperplugError('API_REQUEST_INVALID', words.join('; '), { details: { ...texts[0] } });
}
