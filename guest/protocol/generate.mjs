// Makes the TypeScript constants and the C header from protocol.json, so that codes and field names stand once.
//   node guest/protocol/generate.mjs           writes both
//   node guest/protocol/generate.mjs --check   exits 1, naming the file, if one of them is not current
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../..');
const SCALARS = { string: 'string', u32: 'number', u64: 'number', bool: 'boolean', any: 'unknown' };

/** `Address[]?` → { base: 'Address', list: true, optional: true } */
function parseType(text, where, structures) {
  const match = /^(\w+?)(\[\])?(\?)?$/.exec(text);
  if (!match) throw new Error(`${where}: expected TYPE, TYPE[] or either with ?, got ${text}`);
  const [, base, list, optional] = match;
  if (!(base in SCALARS) && !(base in structures) && base !== 'ErrorCode') throw new Error(`${where}: no type ${base}`);
  return { base, list: list !== undefined, optional: optional !== undefined };
}

function fieldsOf(name, protocol) {
  return Object.entries(protocol.structures[name]).map(([field, text]) => ({
    field,
    ...parseType(text, `${name}.${field}`, protocol.structures),
  }));
}

function typescript(protocol) {
  const out = ['// Made by guest/protocol/generate.mjs from protocol.json; change that, not this.', ''];
  out.push(`export const PROTOCOL_VERSION = ${protocol.version};`);
  out.push(`export const EXTENSION_VERSION = ${protocol.extension};`, '');
  out.push('/** Names of the virtio-serial ports. */', 'export const CHANNEL = {');
  for (const [key, value] of Object.entries(protocol.channels)) out.push(`  ${key}: '${value}',`);
  out.push('} as const;', '', 'export const COMMAND = {');
  for (const [key, value] of Object.entries(protocol.commands)) out.push(`  ${key}: ${value},`);
  out.push('} as const;', '', 'export type CommandName = keyof typeof COMMAND;', '');
  out.push('export const COMMAND_NAMES: ReadonlyMap<number, CommandName> = new Map(');
  out.push('  Object.entries(COMMAND).map(([name, code]) => [code, name as CommandName]),', ');', '');
  out.push('/** `code` of an ERROR in the extension. */', 'export const AGENT_ERROR_CODES = {');
  for (const [key, value] of Object.entries(protocol.errorCodes)) out.push(`  ${key}: '${value}',`);
  out.push('} as const;', '', 'export type AgentErrorCode = keyof typeof AGENT_ERROR_CODES;', '');
  out.push('export const LIMIT = {');
  for (const [key, value] of Object.entries(protocol.limits)) out.push(`  ${key}: ${value},`);
  out.push('} as const;', '');
  for (const name of Object.keys(protocol.structures)) {
    out.push(`export interface ${name}Message {`);
    for (const { field, base, list, optional } of fieldsOf(name, protocol)) {
      const element = base === 'ErrorCode' ? 'AgentErrorCode' : (SCALARS[base] ?? `${base}Message`);
      out.push(`  readonly ${field}${optional ? '?' : ''}: ${list ? `readonly ${element}[]` : element};`);
    }
    out.push('}', '');
  }
  return `${out.join('\n').trimEnd()}\n`;
}

function cHeader(protocol) {
  const out = ['/* Made by guest/protocol/generate.mjs from protocol.json; change that, not this. */'];
  out.push('#ifndef HP_PROTOCOL_GEN_H', '#define HP_PROTOCOL_GEN_H', '', '#include "schema.h"', '');
  out.push(`#define HP_VERSION ${protocol.version}u`, `#define HP_EXTENSION ${protocol.extension}u`, '');
  for (const [key, value] of Object.entries(protocol.channels)) {
    out.push(`#define HP_CHANNEL_${key.toUpperCase()} "${value}"`);
  }
  out.push('', 'enum hp_command {');
  for (const [key, value] of Object.entries(protocol.commands)) out.push(`\tHP_${key} = ${value},`);
  out.push('};', '', '/* `code` of an ERROR in the extension */');
  for (const key of Object.keys(protocol.errorCodes)) out.push(`#define HP_E_${key} "${key}"`);
  out.push('');
  for (const [key, value] of Object.entries(protocol.limits)) out.push(`#define HP_${key} ${value}u`);
  out.push('');
  const kinds = { string: 'HP_STRING', u32: 'HP_U32', u64: 'HP_U64', bool: 'HP_BOOL', any: 'HP_ANY' };
  const names = Object.keys(protocol.structures);
  for (const name of names) out.push(`extern const struct hp_schema hp_schema_${name};`);
  for (const name of names) {
    out.push('', `enum hp_fields_${name} {`);
    for (const { field } of fieldsOf(name, protocol)) out.push(`\tHP_${name}_${field},`);
    out.push(`\tHP_${name}_COUNT`, '};');
  }
  out.push('', '#ifdef HP_DEFINE_SCHEMAS');
  for (const name of names) {
    out.push(`static const struct hp_field hp_field_table_${name}[] = {`);
    for (const { field, base, list, optional } of fieldsOf(name, protocol)) {
      const kind = base === 'ErrorCode' ? 'HP_STRING' : (kinds[base] ?? 'HP_OBJECT');
      const of = kind === 'HP_OBJECT' ? `&hp_schema_${base}` : '0';
      out.push(`\t{ "${field}", ${kind}, ${list ? 1 : 0}, ${optional ? 1 : 0}, ${of} },`);
    }
    out.push('};');
    out.push(`const struct hp_schema hp_schema_${name} = { "${name}", hp_field_table_${name}, HP_${name}_COUNT };`);
  }
  out.push('#endif', '', '#endif');
  return `${out.join('\n')}\n`;
}

const protocol = JSON.parse(readFileSync(join(here, 'protocol.json'), 'utf8'));
const outputs = [
  [join(root, 'src/plugins/hyperstart/protocol.gen.ts'), typescript(protocol)],
  [join(root, 'guest/agent/protocol.gen.h'), cHeader(protocol)],
];
const check = process.argv.includes('--check');
for (const [path, text] of outputs) {
  if (!check) {
    writeFileSync(path, text);
  } else if (readFileSync(path, 'utf8') !== text) {
    console.error(`${relative(root, path)} is not current: run node guest/protocol/generate.mjs`);
    process.exitCode = 1;
  }
}
