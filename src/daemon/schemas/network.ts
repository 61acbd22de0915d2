import { z } from 'zod';
import type { NetworkRepair, NetworkReport } from '../../core/pod/types.js';

export const networkReport = z
  .object({
    name: z.string(),
    present: z.boolean().optional(),
    bridge: z.string().optional(),
    subnets: z.array(z.string()),
    gateways: z.array(z.string()),
    mtu: z.int(),
    drift: z.array(z.string()).describe('what differs, in words; empty: nothing'),
    state: z.enum(['ready', 'drifted', 'absent']),
    backend: z.string(),
    pods: z.array(z.string()),
  })
  .meta({ id: 'NetworkReport' }) satisfies z.ZodType<NetworkReport>;

export const networkRepair = z
  .object({ name: z.string(), mended: z.array(z.string()) })
  .meta({ id: 'NetworkRepair' }) satisfies z.ZodType<NetworkRepair>;

export const networkNames = z.strictObject({
  names: z.array(z.string().min(1).max(64)).max(256).optional().describe('all, where none is named'),
});
