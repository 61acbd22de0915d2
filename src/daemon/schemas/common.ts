import { z } from 'zod';
import type { JsonValue } from '../../core/json.js';

/** It came as JSON: what it holds is the engine's to check. */
export const json = z.unknown() as z.ZodType<JsonValue>;

export const time = z.iso.datetime().describe('ISO 8601, UTC');

/** As a pod may be called; what is no id at all is told as the engine tells it. */
export const podId = z.string().min(1).max(128);
export const podParams = z.strictObject({ id: podId.describe('of the pod') });
export const nicParams = z.strictObject({
  id: podId.describe('of the pod'),
  nic: z.string().min(1).max(128).describe('id of the NIC'),
});

/** A query has but text. */
export const flag = z.stringbool({ truthy: ['true', '1', ''], falsy: ['false', '0'] });
export const wholeNumber = z
  .string()
  .regex(/^\d{1,15}$/, 'a whole number')
  .transform(Number);
/** `name=a&name=b` is a list, `name=a` one text. */
export const textList = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (typeof value === 'string' ? [value] : value))
  .pipe(z.array(z.string().max(256)).max(256));

/** What an error looks like; causes and the several errors of one call have the same shape. */
export const errorBody = z
  .object({
    code: z.string().describe('stable, of the table of error codes'),
    message: z.string(),
    details: z.record(z.string(), z.unknown()).optional(),
    cause: z.record(z.string(), z.unknown()).optional().describe('the error that led to this one, in the same shape'),
    errors: z.array(z.record(z.string(), z.unknown())).optional().describe('every error of a call that went on'),
    requestId: z.string().describe("as in the daemon's log"),
  })
  .meta({ id: 'Error' });

export const nothing = z.null();
