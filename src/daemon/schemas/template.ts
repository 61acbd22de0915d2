import { z } from 'zod';
import type { TemplateStatus } from '../../core/template/types.js';
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
