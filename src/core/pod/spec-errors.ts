import type { z } from 'zod';
import { HyperplugError, shown } from '../errors.js';
import { dotted, expectation, valueAt } from '../schema-issues.js';
import { nodeAt, shapeOf } from '../schema-walk.js';
import { suggestion } from '../suggest.js';

export function wrong(field: string, expected: string, received: unknown): HyperplugError {
  return new HyperplugError('POD_SPEC_INVALID', `${field}: expected ${expected}, got ${shown(received)}`, {
    details: { field, expected, received },
  });
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** What a schema found wrong, each field with its value. `root` names the whole. */
export function specError(error: z.ZodError, input: unknown, root: string, schema?: z.ZodType): HyperplugError {
  const issues = error.issues
    .flatMap((issue) => expand(issue, schema))
    .map(({ path, message }) => {
      const field = typeof path[0] === 'number' ? `${root}${dotted(path)}` : dotted(path) || root;
      return {
        field,
        message: message.startsWith('unknown')
          ? `${field}: ${message}`
          : `${field}: ${message}, got ${shown(valueAt(input, path))}`,
      };
    });
  return new HyperplugError('POD_SPEC_INVALID', issues.map((issue) => issue.message).join('; '), {
    details: { field: issues[0]?.field, fields: issues.map((issue) => issue.field) },
  });
}

/** One for each unknown field, and of a union those of the branch that was most likely meant. */
function expand(issue: z.core.$ZodIssue, schema: z.ZodType | undefined): Issue[] {
  const { path, message } = issue;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: `unknown field${near(schema, path, key)}` }));
  }
  // Of a key that may not be one: why, and not that it is so.
  if (issue.code === 'invalid_key') return issue.issues.map((each) => ({ path, message: plain(each) }));
  if (issue.code !== 'invalid_union') return [{ path, message: plain(issue) }];
  const meant = issue.errors.find((branch) =>
    branch.some(({ code, path: at }) => code !== 'invalid_type' || at.length > 0),
  );
  if (meant)
    return meant.flatMap((each) => expand({ ...each, path: [...path, ...each.path] } as z.core.$ZodIssue, schema));
  const words = issue.errors.flatMap((branch) => branch.map((each) => plain(each)));
  return [{ path, message: [...new Set(words)].join(' or ') || message }];
}

/** What came is told behind it. */
const plain = (issue: z.core.$ZodIssue) => `expected ${expectation(issue)}`;

function near(schema: z.ZodType | undefined, path: readonly PropertyKey[], key: string): string {
  const node = schema && nodeAt(schema, path);
  if (!node) return '';
  const branches = (node.schema._zod.def as { options?: readonly z.core.$ZodType[] }).options ?? [node.schema];
  return suggestion(
    key,
    branches.flatMap((branch) => Object.keys(shapeOf(branch) ?? {})),
  );
}

/** @throws POD_SPEC_INVALID */
export function checked<S extends z.ZodType>(schema: S, input: unknown, root: string): z.output<S> {
  const parsed = schema.safeParse(input);
  if (!parsed.success) throw specError(parsed.error, input, root, schema);
  return parsed.data;
}
