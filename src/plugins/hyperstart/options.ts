import { z } from 'zod';

export const hyperstartOptions = z.strictObject({
  nicTimeoutMs: z
    .int()
    .min(1)
    .max(600_000)
    .default(10_000)
    .describe('how long the guest waits for a plugged NIC to appear, in milliseconds'),
});

export type HyperstartOptions = z.output<typeof hyperstartOptions>;
