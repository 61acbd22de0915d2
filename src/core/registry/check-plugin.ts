import { combineErrors, type HyperplugError } from '../errors.js';
import { deepFreeze } from '../json.js';
import {
  type AnyPlugin,
  PLUGIN_API_VERSION,
  PLUGIN_KINDS,
  type PluginKind,
  type PluginRegistration,
} from '../plugin.js';
import { dotted, schemaIssues } from '../schema-issues.js';
import { CAPABILITY_SCHEMAS } from './capabilities.js';
import { optionsSchema } from './options-schema.js';
import { pluginError } from './plugin-error.js';

const NAME = /^[a-z][a-z0-9-]{0,31}$/;
/** Keys that the configuration has beside the plugins' sections. */
const RESERVED_NAMES = ['driver', 'backend', 'networks'];
const FIELDS = ['name', 'kind', 'apiVersion', 'capabilities', 'options', 'description', 'register'];

const checked = new WeakSet<object>();

/**
 * A frozen plugin, or an error about every field that is wrong. A value that passed before is returned as it is.
 * @param source where it came from, for messages.
 * @throws PLUGIN_API_VERSION (alone, as the other fields cannot be judged then), PLUGIN_INVALID.
 */
export function checkPlugin(value: unknown, source: string): AnyPlugin {
  if (typeof value === 'object' && value !== null && checked.has(value)) return value as AnyPlugin;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw pluginError('PLUGIN_INVALID', { name: 'without a name', source }, 'plugin', 'an object', value);
  }
  const given = value as Record<string, unknown>;
  const name = typeof given.name === 'string' ? given.name : 'without a name';
  const problem = (
    field: string,
    expected: string,
    received: unknown,
    code: HyperplugError['code'] = 'PLUGIN_INVALID',
  ) => pluginError(code, { name, source }, field, expected, received);

  if (given.apiVersion !== PLUGIN_API_VERSION) {
    const code = Number.isInteger(given.apiVersion) ? 'PLUGIN_API_VERSION' : 'PLUGIN_INVALID';
    throw problem('apiVersion', `${PLUGIN_API_VERSION}`, given.apiVersion, code);
  }
  const errors: HyperplugError[] = [];
  if (typeof given.name !== 'string' || !NAME.test(given.name)) {
    errors.push(problem('name', `text matching ${NAME}`, given.name));
  } else if (RESERVED_NAMES.includes(given.name)) {
    errors.push(problem('name', `a name other than ${RESERVED_NAMES.join(', ')}`, given.name));
  }
  const kind = PLUGIN_KINDS.find((each) => each === given.kind);
  if (!kind) errors.push(problem('kind', `one of ${PLUGIN_KINDS.join(', ')}`, given.kind));
  const capabilities = kind && checkCapabilities(kind, given.capabilities, problem, errors);
  const options = optionsSchema(given.options);
  if ('expected' in options) errors.push(problem('options', options.expected, given.options));
  const { register, description = '' } = given;
  if (typeof register !== 'function') errors.push(problem('register', 'a function', register));
  if (typeof description !== 'string') errors.push(problem('description', 'text', description));
  for (const field of Object.keys(given)) {
    if (!FIELDS.includes(field)) errors.push(problem(field, `one of the fields ${FIELDS.join(', ')}`, given[field]));
  }
  if (errors.length > 0) throw combineErrors('PLUGIN_INVALID', `plugin ${name} (${source})`, errors);

  const plugin = Object.freeze({
    name,
    kind,
    apiVersion: PLUGIN_API_VERSION,
    capabilities,
    options,
    description,
    register: (registration: PluginRegistration, parsed: unknown) =>
      Reflect.apply(register as (...args: unknown[]) => unknown, given, [registration, parsed]),
  }) as AnyPlugin;
  checked.add(plugin);
  return plugin;
}

function checkCapabilities(
  kind: PluginKind,
  value: unknown,
  problem: (field: string, expected: string, received: unknown) => HyperplugError,
  errors: HyperplugError[],
): unknown {
  const result = CAPABILITY_SCHEMAS[kind].safeParse(value);
  if (result.success) return deepFreeze(result.data);
  for (const issue of schemaIssues(result.error.issues, value)) {
    errors.push(problem(dotted(['capabilities', ...issue.path]), issue.expected, issue.received));
  }
  return undefined;
}
