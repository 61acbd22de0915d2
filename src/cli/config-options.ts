import type { ConfigOverride } from '../core/config/load-config.js';
import type { EngineOptions } from './deps.js';

/** What the command line says goes over every file, under the flag's name. */
export function configOptions({ configPath, driver, rootless, logLevel, logFormat, signal }: EngineOptions) {
  const overrides: ConfigOverride[] = [];
  const add = (path: readonly string[], value: string | boolean | undefined, flag: string) => {
    if (value !== undefined) overrides.push({ path, value, flag });
  };
  add(['hypervisor', 'driver'], driver, '--driver');
  add(['rootless', 'enabled'], rootless, '--rootless');
  add(['log', 'level'], logLevel, '--log-level');
  add(['log', 'format'], logFormat, '--log-format');
  return { ...(configPath === undefined ? {} : { configPath }), overrides, signal };
}
