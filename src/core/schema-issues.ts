/** One thing wrong with a value, in the words of an error message. */
export interface SchemaIssue {
  readonly path: readonly PropertyKey[];
  /** `positive integer`, `one of "a", "b"`. */
  readonly expected: string;
  /** What stands there; undefined: nothing. */
  readonly received: unknown;
  /** Set where a key is unknown: `received` then is that key, and `path` ends with it. */
  readonly unknownKey?: true;
}

/** What a zod issue or a Standard Schema issue has, as far as it is read here. */
interface RawIssue {
  readonly code?: string;
  readonly message: string;
  readonly path?: readonly unknown[] | undefined;
  readonly [key: string]: unknown;
}

/** A path as people write it: `network.networks.default.subnets[0]`. */
export function dotted(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    const key = String(part);
    const shown = /^[A-Za-z_][A-Za-z0-9_-]*$/.test(key) ? key : JSON.stringify(key);
    return text === '' ? shown : `${text}.${shown}`;
  }, '');
}

/** The value at `path`, or undefined where there is none. Own properties only. */
export function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

/**
 * The issues of a failed parse of `root`, one for each field. Understands zod 4's issues; of another Standard Schema's
 * only message and path are known, and the message becomes the expectation.
 */
export function schemaIssues(issues: readonly unknown[], root: unknown): SchemaIssue[] {
  return issues.flatMap((each): SchemaIssue[] => {
    const issue = each as RawIssue;
    const path = (issue.path ?? []).map((part) =>
      typeof part === 'object' && part !== null && 'key' in part ? (part.key as PropertyKey) : (part as PropertyKey),
    );
    if (issue.code === 'unrecognized_keys' && Array.isArray(issue.keys)) {
      return issue.keys.map((key: string) => ({
        path: [...path, key],
        expected: 'a known key',
        received: key,
        unknownKey: true as const,
      }));
    }
    const received = issue.code === 'invalid_key' ? path.at(-1) : valueAt(root, path);
    return [{ path, expected: expectation(issue), received }];
  });
}

/** How zod begins when the schema itself says nothing. */
const ZODS_WORDS = /^(Invalid |Too small: |Too big: |Unrecognized )/;

/** What was expected, in the schema's own words where it has some. */
export function expectation(given: Pick<RawIssue, 'code' | 'message'>): string {
  const issue = given as RawIssue;
  if (!ZODS_WORDS.test(issue.message)) return issue.message.replace(/^expected /, '');
  const quoted = (values: unknown) =>
    (values as unknown[]).map((value) => (typeof value === 'bigint' ? `${value}` : JSON.stringify(value))).join(', ');
  const unit = { string: ' characters', array: ' items', set: ' items' }[String(issue.origin)] ?? '';
  switch (issue.code) {
    case 'invalid_type':
      return issue.expected === 'int' ? 'integer' : issue.expected === 'record' ? 'object' : String(issue.expected);
    case 'invalid_value': {
      const values = issue.values as unknown[];
      return values.length === 1 ? quoted(values) : `one of ${quoted(values)}`;
    }
    case 'too_small':
      return `${unit ? 'at least' : issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}${unit}`;
    case 'too_big':
      return `${unit ? 'at most' : issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}${unit}`;
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`;
    case 'invalid_format':
      if (issue.format === 'regex') return `text matching ${issue.pattern}`;
      if (issue.format === 'starts_with') return `text starting with ${JSON.stringify(issue.prefix)}`;
      return String(issue.format);
    case 'invalid_key':
      return (issue.issues as RawIssue[] | undefined)?.map(expectation).join(' and ') || issue.message;
    case 'invalid_union': {
      const branches = (issue.errors as RawIssue[][] | undefined) ?? [];
      const words = branches.flatMap((branch) => branch.slice(0, 1).map(expectation));
      return words.length > 0 ? [...new Set(words)].join(' or ') : issue.message;
    }
    default:
      return issue.message;
  }
}
