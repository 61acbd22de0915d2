import { z } from 'zod';
import { HyperplugError } from '../../errors.js';
import { wrong } from '../spec-errors.js';

export const logSchema = z
  .strictObject({
    type: z.string().optional().describe('file (the default), or none'),
    config: z
      .record(z.string(), z.string())
      .optional()
      .describe('max-size: bytes of a file, like 1m; max-file: how many are kept'),
  })
  .describe('what is kept of the output of each container');

export interface LogSpec {
  /** 0: nothing is kept. */
  readonly maxFiles: number;
  readonly maxFileBytes: number;
}

const DEFAULT: LogSpec = { maxFiles: 3, maxFileBytes: 4 * 1024 * 1024 };
const LIMIT_BYTES = 1024 ** 3;

/** @throws NOT_SUPPORTED, POD_SPEC_INVALID */
export function completeLog(input: z.output<typeof logSchema> | undefined): LogSpec {
  const { type, config = {} } = input ?? {};
  if (type === 'none') return { maxFiles: 0, maxFileBytes: 0 };
  if (type && type !== 'file') {
    throw new HyperplugError(
      'NOT_SUPPORTED',
      `log.type: expected file or none (others get it with logs), got "${type}"`,
      {
        details: { field: 'log.type', expected: ['file', 'none'], received: type },
      },
    );
  }
  const { 'max-size': size, 'max-file': files, ...others } = config;
  const [other] = Object.keys(others);
  if (other !== undefined) throw wrong(`log.config.${other}`, 'max-size or max-file', others[other]);
  return { maxFiles: count(files), maxFileBytes: bytes(size) };
}

function count(text: string | undefined): number {
  if (text === undefined) return DEFAULT.maxFiles;
  if (/^\d{1,3}$/.test(text) && Number(text) >= 1) return Number(text);
  throw wrong('log.config.max-file', 'a number from 1 to 999', text);
}

function bytes(text: string | undefined): number {
  if (text === undefined) return DEFAULT.maxFileBytes;
  const match = /^(\d{1,10})([kmg]?)b?$/i.exec(text);
  const unit = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 }[match?.[2]?.toLowerCase() ?? ''] ?? 1;
  const value = Number(match?.[1]) * unit;
  if (match && value >= 4096 && value <= LIMIT_BYTES) return value;
  throw wrong('log.config.max-size', 'bytes from 4k to 1g, like 10m', text);
}

export const logJson = ({ maxFiles, maxFileBytes }: LogSpec) =>
  maxFiles === 0
    ? { type: 'none' }
    : { type: 'file', config: { 'max-size': String(maxFileBytes), 'max-file': String(maxFiles) } };
