import { z } from 'zod';
import type { ErrorCode } from '../../core/error-codes.js';
import type { GcReport } from '../../core/gc/types.js';

export const gcReport = z
  .object({
    dryRun: z.boolean(),
    findings: z.array(
      z.object({
        kind: z.enum([
          'pod',
          'nic',
          'record',
          'vm',
          'device',
          'address',
          'port',
          'directory',
          'lock',
          'network',
          'template',
          'cache',
          'socket',
        ]),
        id: z.string(),
        pod: z.string().optional(),
        nic: z.string().optional(),
        why: z.string(),
        action: z.enum(['kept', 'left', 'finished', 'removed', 'failed']),
        error: z
          .object({ code: (z.string() as unknown as z.ZodType<ErrorCode>).optional(), message: z.string() })
          .optional(),
      }),
    ),
  })
  .meta({ id: 'GcReport' }) satisfies z.ZodType<GcReport>;
