import { z } from 'zod';
import type { PoolStatus, TemplateStatus } from '../../core/template/types.js';
import { time } from './common.js';

export const templateStatus = z
  .object({
    name: z.string(),
    state: z.enum(['fresh', 'stale', 'unreadable']),
    why: z.string().nullable().describe('why it is not fresh'),
    automatic: z.boolean().describe('made by itself, because pods asked for `template: auto`'),
    memoryMib: z.int(),
    cpus: z.int(),
    nicSlots: z.int(),
    hypervisor: z.string(),
    image: z.string(),
    agent: z.string(),
    sizeBytes: z.number(),
    createdAt: time,
    directory: z.string(),
  })
  .meta({ id: 'Template' }) satisfies z.ZodType<TemplateStatus>;

export const poolStatus = z
  .object({
    size: z.int().describe('clones that it keeps ready'),
    ready: z.array(z.object({ id: z.string(), pid: z.int(), template: z.string(), memoryMib: z.int(), since: time })),
    making: z.int(),
    totalMib: z.int().describe('what their memory may come to together'),
    claims: z.int().describe('pods that have taken one'),
    misses: z.int().describe('pods that would have, and found none ready'),
    failure: z.string().nullable().describe('why it is not full'),
  })
  .meta({ id: 'Pool' }) satisfies z.ZodType<PoolStatus>;
