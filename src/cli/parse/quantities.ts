import { fieldError } from '../../core/errors.js';

const MEMORY = /^(\d{1,12}(?:\.\d{1,6})?)\s*(?:([mgt])(?:i?b)?)?$/i;
const MIB = { m: 1, g: 1024, t: 1024 * 1024 } as const;

/** `512`, `512m`, `1g`, `1.5GiB` → MiB. A size that is no whole number of MiB is refused. @throws CLI_USAGE */
export function parseMemoryMib(text: string, flag = '--memory'): number {
  const match = MEMORY.exec(text.trim());
  const unit = (match?.[2] ?? 'm').toLowerCase() as keyof typeof MIB;
  const mib = match ? Number(match[1]) * MIB[unit] : 0;
  if (mib < 1 || !Number.isInteger(mib) || !Number.isSafeInteger(mib)) {
    throw fieldError('CLI_USAGE', flag, 'MiB, or a size like 512m or 1.5g', text);
  }
  return mib;
}

/** The same in bytes. @throws CLI_USAGE */
export function parseSizeBytes(text: string, flag: string): number {
  return parseMemoryMib(text, flag) * 1024 * 1024;
}

/** @throws CLI_USAGE */
export function parseCount(text: string, flag: string, what: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw fieldError('CLI_USAGE', flag, what, text);
}

const DURATION = /^(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|m|h)?$/i;
const MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;
/** A timer's longest: 2^31 - 1 ms, 24 days. */
const MAX_TIMER_MS = 2_147_483_647;

/** `30`, `30s`, `5m`, `1.5h`, `200ms` → milliseconds. @throws CLI_USAGE */
export function parseDurationMs(text: string, flag = '--timeout', leastMs = 1): number {
  const match = DURATION.exec(text.trim());
  const unit = (match?.[2] ?? 's').toLowerCase() as keyof typeof MS;
  const ms = match ? Math.round(Number(match[1]) * MS[unit]) : -1;
  if (ms < leastMs || ms > MAX_TIMER_MS) {
    throw fieldError('CLI_USAGE', flag, 'seconds, or a time like 200ms, 30s, 5m or 1h, at most 24 days', text);
  }
  return ms;
}

/** @throws CLI_USAGE */
export function parseCpus(text: string): number {
  const cpus = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (cpus < 1 || cpus > 255) throw fieldError('CLI_USAGE', '--cpus', 'a number from 1 to 255', text);
  return cpus;
}
