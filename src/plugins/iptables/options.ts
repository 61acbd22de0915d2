import { z } from 'zod';

export const iptablesOptions = z.strictObject({
  variant: z
    .enum(['auto', 'nft', 'legacy'])
    .default('auto')
    .describe("auto: the machine's iptables; nft and legacy: iptables-nft-* or iptables-legacy-* by name"),
  netns: z
    .string()
    .startsWith('/')
    .optional()
    .meta({ path: true })
    .describe('network namespace that the rules stand in, by path; that of the network backend'),
});

export type IptablesOptions = z.output<typeof iptablesOptions>;
