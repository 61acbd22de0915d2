import { z } from 'zod';

export const netlinkOptions = z.strictObject({
  netns: z
    .string()
    .startsWith('/')
    .optional()
    .meta({ path: true })
    .describe(
      'network namespace that bridges and taps are made in, by path (/run/netns/NAME); without it that of this process',
    ),
  uplink: z
    .string()
    .regex(/^[^\s/:]{1,15}$/, 'an interface name of at most 15 characters')
    .optional()
    .describe('interface whose MTU networks follow that set none; without it that of the default route'),
  adoptBridges: z
    .array(z.string())
    .default([])
    .describe(
      'bridges of yours that networks may use as they are: they must fit, and are never made, changed or deleted',
    ),
});

export type NetlinkOptions = z.output<typeof netlinkOptions>;
