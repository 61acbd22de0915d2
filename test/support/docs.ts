import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { configJsonSchema } from '../../src/core/config/json-schema.js';
import { SECTIONS } from '../../src/core/config/schema.js';
import { ERROR_CODES } from '../../src/core/error-codes.js';
import { PLUGIN_KINDS, type PluginKind } from '../../src/core/plugin.js';
import { POD_SCHEMA } from '../../src/core/pod/spec.js';
import { REFUSED_FIELDS, REFUSED_FORMATS } from '../../src/core/pod/spec-parts/refused.js';
import { PluginRegistry } from '../../src/core/registry/registry.js';
import { fakePlugin } from './fake-plugins.js';

/** The root of the repository: tests run from dist/test. */
export const ROOT = join(import.meta.dirname, '../../..');

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
}

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
const code = (value: unknown) => `\`${JSON.stringify(value)}\``;

function typeText(schema: Schema): string {
  if (schema.enum) return schema.enum.map(code).join(', ');
  if (schema.anyOf) return schema.anyOf.map(typeText).join(' or ');
  if (schema.type === 'array') return `list of ${schema.items ? typeText(schema.items) : 'values'}`;
  if (schema.type !== 'integer' && schema.type !== 'number')
    return schema.type === 'string' ? 'text' : (schema.type ?? 'any');
  const limits = [
    ['at least', schema.minimum],
    ['more than', schema.exclusiveMinimum],
    ['at most', schema.maximum],
    ['less than', schema.exclusiveMaximum],
  ].filter(([, limit]) => limit !== undefined);
  return [schema.type, ...limits.map((limit) => limit.join(' '))].join(', ');
}

/** One row for each key that holds a value; `path` so far. */
function rows(schema: Schema, path: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, member]) => {
    const inner = typeof member.additionalProperties === 'object' ? member.additionalProperties : undefined;
    const here = `${path}${key}`;
    const described = Object.values(member.properties ?? {}).some((each) => each.description || each.properties);
    const undivided = member.description && !described && Object.keys(member.properties ?? {}).length > 0;
    if (member.properties && !undivided) return rows(member, `${here}.`);
    if (inner?.properties) return rows(inner, `${here}.NAME.`);
    const preset = member.default === undefined ? '' : code(member.default);
    return [`| \`${here}\` | ${cell(typeText(member))} | ${cell(preset)} | ${cell(member.description ?? '')} |`];
  });
}

const TABLE_HEAD = ['| key | value | default | meaning |', '|---|---|---|---|'];

/** Every key of the configuration that is not an option of a plugin. */
export function configTable(): string {
  const names = (kind: PluginKind) => ({ ...fakePlugin(kind), name: SECTIONS[kind].default });
  const schema = configJsonSchema(new PluginRegistry(PLUGIN_KINDS.map(names))) as unknown as Schema;
  // Which names a selector takes depends on the plugins there are.
  const lines = rows(schema, '').map((row) =>
    /^\| `\w+\.(?:driver|backend)`/.test(row) ? row.replace('| text | `', '| name of a plugin | `') : row,
  );
  return [
    ...TABLE_HEAD,
    ...lines.filter((row) => !/^\| `\w+\.(?:qemu|builtin-net|none|hyperstart|local)`/.test(row)),
  ].join('\n');
}

/** The options of these plugins, as they stand in the configuration. */
export function optionsTable(plugins: readonly unknown[]): string {
  const schema = configJsonSchema(new PluginRegistry(plugins)) as unknown as Schema;
  const lines = PLUGIN_KINDS.flatMap((kind) => {
    const { section } = SECTIONS[kind];
    return rows({ properties: { [section]: schema.properties?.[section] ?? {} } }, '').filter(
      (row) => !/^\| `\w+\.(?:driver|backend)`|^\| `network\.networks\./.test(row) && row.split('.').length > 2,
    );
  });
  return [...TABLE_HEAD, ...lines].join('\n');
}

/** Every field of a pod's specification. */
export function podSpecTable(): string {
  const schema = z.toJSONSchema(POD_SCHEMA, { target: 'draft-2020-12', io: 'input', unrepresentable: 'any' });
  return [
    '| field | value | meaning |',
    '|---|---|---|',
    ...fields(JSON.parse(JSON.stringify(schema)) as Schema, ''),
  ].join('\n');
}

/** As rows(), through lists and the branches of a union too: all that may stand below a field. */
function fields(schema: Schema, path: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, member]) => {
    const here = `${path}${key}`;
    const inner = [member, ...(member.anyOf ?? [])].flatMap((each): [Schema, string][] => {
      if (each.properties) return [[each, `${here}.`]];
      return each.items?.properties ? [[each.items, `${here}[].`]] : [];
    });
    const plain = (member.anyOf ?? [member]).filter((each) => !each.properties && !each.items?.properties);
    // Empty text is hyperd's for nothing.
    const said = plain.filter((each) => (each as { readonly const?: unknown }).const !== '');
    const value = [...new Set(said.map(fieldText))].join(' or ');
    const isBranch = member.anyOf !== undefined && inner.length > 0;
    const own = inner.length === 0 || isBranch || member.description;
    const rest = isBranch ? `${value}, or the fields below` : value || 'the fields below';
    return [
      ...(own ? [`| \`${here}\` | ${cell(rest)} | ${cell(member.description ?? '')} |`] : []),
      ...inner.flatMap(([each, below]) => fields(each, below)),
    ];
  });
}

const SAFE = Number.MAX_SAFE_INTEGER;

function fieldText(schema: Schema & { readonly const?: unknown }): string {
  if (schema.const !== undefined) return code(schema.const);
  if (typeof schema.additionalProperties === 'object') return 'a map of text';
  // The bound that every JavaScript integer has.
  if (schema.maximum === SAFE && schema.minimum === -SAFE) return schema.type ?? 'any';
  const named = schema.enum?.filter((value) => value !== '');
  return typeText(named ? { ...schema, enum: named } : schema);
}

export function refusedTable(): string {
  const rows = [
    ...Object.entries(REFUSED_FIELDS),
    ...Object.entries(REFUSED_FORMATS).map(([format, why]) => [`volumes[].format: ${format}`, why]),
  ];
  return ['| field | why |', '|---|---|', ...rows.map(([field, why]) => `| \`${field}\` | ${cell(why ?? '')} |`)].join(
    '\n',
  );
}

export function errorTable(): string {
  const lines = Object.entries(ERROR_CODES).map(([name, meaning]) => `| \`${name}\` | ${cell(meaning)} |`);
  return ['| code | meaning |', '|---|---|', ...lines].join('\n');
}

/** The part of a page between `<!-- generated: NAME -->` and `<!-- end -->`. */
export function generatedPart(page: string, name: string): string {
  const path = join(ROOT, 'docs', page);
  const match = new RegExp(`<!-- generated: ${name} -->\n([\\s\\S]*?)\n<!-- end -->`).exec(readFileSync(path, 'utf8'));
  if (!match) throw new Error(`docs/${page}: no generated part ${name}`);
  return match[1]!;
}

export function replaceGeneratedPart(page: string, name: string, text: string): void {
  const path = join(ROOT, 'docs', page);
  const old = generatedPart(page, name);
  const before = `<!-- generated: ${name} -->\n`;
  writeFileSync(
    path,
    readFileSync(path, 'utf8').replace(before + old, () => before + text),
  );
}
