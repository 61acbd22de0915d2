import type { ErrorCode } from '../error-codes.js';
import { HyperplugError, shown } from '../errors.js';

/** Which plugin, and where it came from: `built in`, a package, a file. */
export interface PluginIdentity {
  readonly name: string;
  readonly source: string;
}

export const pluginLabel = ({ name, source }: PluginIdentity): string => `plugin ${name} (${source})`;

/** An error about one field of a plugin: plugin, field, expectation, value. `details` holds all of them. */
export function pluginError(
  code: ErrorCode,
  plugin: PluginIdentity,
  field: string,
  expected: string,
  received: unknown,
  cause?: unknown,
): HyperplugError {
  const value = typeof received === 'bigint' || typeof received === 'function' ? String(received) : received;
  return new HyperplugError(
    code,
    `${pluginLabel(plugin)}: ${field}: expected ${expected}, got ${typeof received === 'function' ? 'a function' : shown(received)}`,
    {
      ...(cause === undefined ? {} : { cause }),
      details: { plugin: plugin.name, source: plugin.source, field, expected, received: value },
    },
  );
}
