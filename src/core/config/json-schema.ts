import { z } from 'zod';
import type { JsonValue } from '../json.js';
import type { PluginRegistry } from '../registry/registry.js';
import { configSchema, SECTIONS } from './schema.js';

/** Those of the JSON schema vocabulary that zod writes. */
const FORMATS = new Set(['date-time', 'date', 'time', 'duration', 'email', 'ipv4', 'ipv6', 'uri', 'uuid']);

/**
 * The JSON schema (draft 2020-12) of the configuration file, options of all known plugins included, for editors to
 * complete and check with. What JSON schema cannot say (an option that a transformation checks) is left open there.
 */
export function configJsonSchema(registry: PluginRegistry): JsonValue {
  const schema = z.toJSONSchema(configSchema(registry), {
    target: 'draft-2020-12',
    io: 'input',
    unrepresentable: 'any',
    override({ jsonSchema }) {
      const marks = jsonSchema as Record<string, unknown>;
      if (marks.secret === true) marks.writeOnly = true;
      delete marks.secret;
      delete marks.path;
      // What only zod knows, and the bound that every JavaScript integer has.
      if (typeof marks.format === 'string' && !FORMATS.has(marks.format)) delete marks.format;
      if (marks.maximum === Number.MAX_SAFE_INTEGER) delete marks.maximum;
      if (marks.minimum === Number.MIN_SAFE_INTEGER) delete marks.minimum;
    },
  });
  // Options of plugins that are not known here: whoever loads them checks them.
  for (const { section } of Object.values(SECTIONS)) {
    const part = schema.properties?.[section];
    if (typeof part === 'object')
      part.additionalProperties = { type: 'object', description: 'options of another plugin' };
  }
  // Through JSON, as zod adds members that are not enumerable.
  return JSON.parse(JSON.stringify({ title: 'hyperplug configuration', ...schema })) as JsonValue;
}
