import { fieldError } from '../../core/errors.js';

const KEY = /^[^=\x00]+$/;

/**
 * `KEY=VALUE`, or `KEY` for the value it has here; a KEY that has none here is left out, as docker does.
 * @throws CLI_USAGE
 */
export function parseEnv(
  entries: readonly string[],
  own: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const entry of entries) {
    const at = entry.indexOf('=');
    const key = at === -1 ? entry : entry.slice(0, at);
    if (!KEY.test(key)) throw fieldError('CLI_USAGE', '--env', 'KEY=VALUE or KEY', entry);
    const value = at === -1 ? own[key] : entry.slice(at + 1);
    if (value !== undefined) env[key] = value;
  }
  return env;
}

/** `KEY=VALUE`, or `KEY` for an empty value. @throws CLI_USAGE */
export function parseLabels(entries: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const entry of entries) {
    const at = entry.indexOf('=');
    const key = at === -1 ? entry : entry.slice(0, at);
    if (key === '') throw fieldError('CLI_USAGE', '--label', 'KEY=VALUE or KEY', entry);
    labels[key] = at === -1 ? '' : entry.slice(at + 1);
  }
  return labels;
}
