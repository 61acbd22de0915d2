import type { JsonValue } from '../json.js';
import { dotted } from '../schema-issues.js';
import { isMarked } from '../schema-walk.js';
import type { LoadedConfig } from './load-config.js';
import { originText } from './origin.js';

export interface RenderedConfig {
  /** YAML; with a comment on each value's origin where that was asked for. */
  readonly text: string;
  /** Secrets are `***`. */
  readonly value: JsonValue;
  /** Dotted path of each value that is neither a map nor a list with members → `default`, `FILE:LINE`, `command line (FLAG)`. */
  readonly origins: Readonly<Record<string, string>>;
}

export const REDACTED = '***';

interface Line {
  readonly text: string;
  readonly origin?: string;
}

/** The whole configuration as it is in effect, defaults included. */
export function renderConfig(loaded: LoadedConfig, options: { readonly origins: boolean }): RenderedConfig {
  const lines: Line[] = [];
  const origins: Record<string, string> = Object.create(null);

  const leaf = (value: unknown, path: readonly PropertyKey[]): JsonValue => {
    origins[dotted(path)] = originText(loaded.originOf(path));
    if (isMarked(loaded.schema, path, 'secret')) return REDACTED;
    const isJson = value === null || ['string', 'boolean'].includes(typeof value) || Number.isFinite(value);
    return Array.isArray(value) ? [] : isJson ? (value as JsonValue) : isPlain(value) ? {} : String(value);
  };

  const visit = (value: unknown, path: readonly PropertyKey[], lead: string, indent: string): JsonValue => {
    const members = membersOf(value);
    if (members.length === 0 || isMarked(loaded.schema, path, 'secret')) {
      const shown = leaf(value, path);
      lines.push({ text: `${lead} ${scalarText(shown)}`, origin: origins[dotted(path)]! });
      return shown;
    }
    if (lead !== '') lines.push({ text: lead });
    const children = members.map(([key, member]) => {
      const start = typeof key === 'number' ? `${indent}-` : `${indent}${keyText(key)}:`;
      return [key, visit(member, [...path, key], start, `${indent}  `)] as const;
    });
    return Array.isArray(value) ? children.map(([, child]) => child) : Object.fromEntries(children);
  };

  const value = visit(loaded.config, [], '', '');
  const width = Math.min(60, Math.max(...lines.map(({ text }) => text.length)));
  const text = lines
    .map((line) => (options.origins && line.origin ? `${line.text.padEnd(width)}  # ${line.origin}` : line.text))
    .join('\n');
  return { text: `${text}\n`, value, origins: { ...origins } };
}

const isPlain = (value: unknown): value is object =>
  typeof value === 'object' &&
  value !== null &&
  [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null);

function membersOf(value: unknown): readonly (readonly [string | number, unknown])[] {
  if (Array.isArray(value)) return value.map((item, index) => [index, item]);
  return isPlain(value) ? Object.entries(value).filter(([, member]) => member !== undefined) : [];
}

/** Text that YAML reads as text without quotes; everything else stands in JSON's quotes, which are YAML's as well. */
const PLAIN = /^[A-Za-z/][A-Za-z0-9_./-]*$/;
const WORDS = /^(?:true|false|null|yes|no|on|off|y|n)$/i;

const scalarText = (value: JsonValue): string =>
  typeof value === 'string' && PLAIN.test(value) && !WORDS.test(value) ? value : JSON.stringify(value);

const keyText = (key: string): string => (PLAIN.test(key) && !WORDS.test(key) ? key : JSON.stringify(key));
