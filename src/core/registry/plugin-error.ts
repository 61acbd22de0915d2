import type { ErrorCode } from '../error-codes.js';
import { HyperplugError, shown } from '../errors.js';
import type { Plugin, PluginKind } from '../plugin.js';

/** Which plugin, and where it came from: `built in`, a package, a file. */
export interface PluginIdentity {
  /** Undefined: not known yet, or not one there is. */
  readonly kind?: PluginKind | undefined;
  readonly name: string;
  readonly source: string;
}

/** `state plugin local (built in)` */
export const pluginLabel = ({ kind, name, source }: PluginIdentity): string =>
  `${kind ? `${kind} ` : ''}plugin ${name} (${source})`;

export const identityOf = ({
  plugin,
  source,
}: {
  readonly plugin: Pick<Plugin, 'kind' | 'name'>;
  readonly source: string;
}) => ({
  kind: plugin.kind,
  name: plugin.name,
  source,
});

/** One field of a plugin that is wrong. */
export interface FieldProblem {
  readonly field: string;
  readonly expected: string;
  readonly received: unknown;
  /** What came, in words that replace `received` in the message. */
  readonly got?: string;
  /** After the expectation: ` (did you mean "x"?)`. */
  readonly hint?: string;
}

function words({ field, expected, received, got, hint = '' }: FieldProblem): string {
  got ??= typeof received === 'function' ? 'a function' : shown(received);
  return `${field}: expected ${expected}, got ${got}${hint}`;
}

const jsonable = (value: unknown) => (['bigint', 'function', 'symbol'].includes(typeof value) ? String(value) : value);

/** An error about fields of a plugin: plugin, field, expectation, value. `details` holds those of the first. */
export function pluginError(
  code: ErrorCode,
  plugin: PluginIdentity,
  problems: FieldProblem | readonly [FieldProblem, ...FieldProblem[]],
  cause?: unknown,
): HyperplugError {
  const all: readonly FieldProblem[] = 'field' in problems ? [problems] : problems;
  const { field, expected, received } = all[0]!;
  return new HyperplugError(code, `${pluginLabel(plugin)}: ${all.map(words).join('; ')}`, {
    ...(cause === undefined ? {} : { cause }),
    details: {
      plugin: plugin.name,
      ...(plugin.kind ? { kind: plugin.kind } : {}),
      source: plugin.source,
      field,
      expected,
      received: jsonable(received),
      fields: all.map((each) => each.field),
    },
  });
}
