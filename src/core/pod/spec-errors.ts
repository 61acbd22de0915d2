import type { z } from 'zod';
import { HyperplugError, shown } from '../errors.js';

export function wrong(field: string, expected: string, received: unknown): HyperplugError {
  return new HyperplugError('POD_SPEC_INVALID', `${field}: expected ${expected}, got ${shown(received)}`, {
    details: { field, expected, received },
  });
}

/** What a schema found wrong, each field with its value. `root` names the whole. */
export function specError(error: z.ZodError, input: unknown, root: string): HyperplugError {
  const issues = error.issues.map((issue) => {
    const path = issue.path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
    const field = path.replace(/^\./, '') || root;
    const received = issue.path.reduce<unknown>(
      (value, part) =>
        typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[part] : undefined,
      input,
    );
    return { field, message: `${field}: ${issue.message}, got ${shown(received)}` };
  });
  return new HyperplugError('POD_SPEC_INVALID', issues.map((issue) => issue.message).join('; '), {
    details: { field: issues[0]?.field, fields: issues.map((issue) => issue.field) },
  });
}

/** @throws POD_SPEC_INVALID */
export function checked<S extends z.ZodType>(schema: S, input: unknown, root: string): z.output<S> {
  const parsed = schema.safeParse(input);
  if (!parsed.success) throw specError(parsed.error, input, root);
  return parsed.data;
}
