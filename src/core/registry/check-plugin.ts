import { deepFreeze } from '../json.js';
import {
  type AnyPlugin,
  PLUGIN_API_VERSION,
  PLUGIN_KINDS,
  type PluginKind,
  type PluginRegistration,
} from '../plugin.js';
import { dotted, schemaIssues } from '../schema-issues.js';
import { shapeOf } from '../schema-walk.js';
import { suggestion } from '../suggest.js';
import { CAPABILITY_SCHEMAS } from './capabilities.js';
import { optionsSchema } from './options-schema.js';
import { type FieldProblem, pluginError } from './plugin-error.js';

export const PLUGIN_NAME = /^[a-z][a-z0-9-]{0,31}$/;
/** In words, for messages. */
export const PLUGIN_NAME_WORDS = 'a name of a-z, 0-9 and -, that begins with a letter and has at most 32 characters';
/** Keys that the configuration has beside the plugins' sections. */
export const RESERVED_PLUGIN_NAMES = ['driver', 'backend', 'networks', 'auto'];
const FIELDS = ['name', 'kind', 'apiVersion', 'capabilities', 'options', 'description', 'register', 'assess'];

const checked = new WeakSet<object>();

/**
 * A frozen plugin, or an error about every field that is wrong. A value that passed before is returned as it is.
 * @param source where it came from, for messages.
 * @throws PLUGIN_API_VERSION (alone, as the other fields cannot be judged then), PLUGIN_INVALID.
 */
export function checkPlugin(value: unknown, source: string): AnyPlugin {
  if (typeof value === 'object' && value !== null && checked.has(value)) return value as AnyPlugin;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const identity = { name: 'without a name', source };
    throw pluginError('PLUGIN_INVALID', identity, { field: 'plugin', expected: 'an object', received: value });
  }
  const given = value as Record<string, unknown>;
  const name = typeof given.name === 'string' ? given.name : 'without a name';
  const kind = PLUGIN_KINDS.find((each) => each === given.kind);
  if (given.apiVersion !== PLUGIN_API_VERSION) {
    const code = Number.isInteger(given.apiVersion) ? 'PLUGIN_API_VERSION' : 'PLUGIN_INVALID';
    const expected = `${PLUGIN_API_VERSION}`;
    throw pluginError(code, { kind, name, source }, { field: 'apiVersion', expected, received: given.apiVersion });
  }
  const capabilities = kind && CAPABILITY_SCHEMAS[kind].safeParse(given.capabilities);
  const options = optionsSchema(given.options);
  const [first, ...rest] = [
    ...namingProblems(given),
    ...(kind && !capabilities?.success ? capabilityProblems(kind, given.capabilities) : []),
    ...('expected' in options ? [{ field: 'options', ...options }] : []),
    ...memberProblems(given),
  ];
  if (first) throw pluginError('PLUGIN_INVALID', { kind, name, source }, [first, ...rest]);
  const plugin = Object.freeze({
    name,
    kind,
    apiVersion: PLUGIN_API_VERSION,
    capabilities: deepFreeze(capabilities?.data),
    options,
    description: given.description ?? '',
    register: (registration: PluginRegistration, parsed: unknown) =>
      Reflect.apply(given.register as (...args: unknown[]) => unknown, given, [registration, parsed]),
    ...(given.assess !== undefined && {
      assess: (...args: unknown[]) => Reflect.apply(given.assess as (...args: unknown[]) => unknown, given, args),
    }),
  }) as AnyPlugin;
  checked.add(plugin);
  return plugin;
}

function* namingProblems({ name, kind }: Record<string, unknown>): Iterable<FieldProblem> {
  if (typeof name !== 'string' || !PLUGIN_NAME.test(name)) {
    yield { field: 'name', expected: PLUGIN_NAME_WORDS, received: name };
  } else if (RESERVED_PLUGIN_NAMES.includes(name)) {
    yield { field: 'name', expected: `a name other than ${RESERVED_PLUGIN_NAMES.join(', ')}`, received: name };
  }
  if (!PLUGIN_KINDS.some((each) => each === kind)) {
    const hint = typeof kind === 'string' ? suggestion(kind, PLUGIN_KINDS) : '';
    yield { field: 'kind', expected: `one of ${PLUGIN_KINDS.join(', ')}`, received: kind, hint };
  }
}

function* memberProblems(given: Record<string, unknown>): Iterable<FieldProblem> {
  const { register, description = '' } = given;
  if (typeof register !== 'function') yield { field: 'register', expected: 'a function', received: register };
  if (given.assess !== undefined && (given.kind !== 'hypervisor' || typeof given.assess !== 'function')) {
    yield { field: 'assess', expected: 'a function, of a hypervisor', received: given.assess };
  }
  if (typeof description !== 'string') yield { field: 'description', expected: 'text', received: description };
  for (const field of Object.keys(given)) {
    if (FIELDS.includes(field)) continue;
    const expected = `no other fields than ${FIELDS.join(', ')}`;
    yield { field, expected, received: given[field], hint: suggestion(field, FIELDS) };
  }
}

function capabilityProblems(kind: PluginKind, value: unknown): FieldProblem[] {
  const schema = CAPABILITY_SCHEMAS[kind];
  return schemaIssues(schema.safeParse(value).error?.issues ?? [], value).map((issue) => ({
    field: dotted(['capabilities', ...issue.path]),
    expected: issue.unknownKey ? `a capability of kind ${kind}` : issue.expected,
    received: issue.received,
    hint: issue.unknownKey ? suggestion(String(issue.path.at(-1)), Object.keys(shapeOf(schema) ?? {})) : '',
  }));
}
