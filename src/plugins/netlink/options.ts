import { isIP } from 'node:net';
import { z } from 'zod';

const interfaceName = z
  .string()
  .regex(
    /^(?!\.{1,2}$)[^\s/:]{1,15}$/,
    'an interface name: 1 to 15 characters without blanks, slashes and colons; not . or ..',
  );

const attachment = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('bridge') }).describe('taps on a Linux bridge'),
  z
    .strictObject({
      kind: z.literal('macvtap'),
      parent: interfaceName.describe('the interface whose network the pods join'),
      mode: z
        .enum(['bridge', 'private', 'vepa'])
        .default('bridge')
        .describe('bridge: pods reach each other; private: they do not; vepa: by way of the switch outside'),
      gateways: z
        .array(z.string().refine((text) => isIP(text) !== 0, { error: 'an IP address' }))
        .default([])
        .describe("routers of the parent's network; none: the first address of each subnet"),
    })
    .describe(
      "NICs on a physical network: no bridge, no NAT, no published ports, and the host's own address is not reached",
    ),
  z
    .strictObject({
      kind: z.literal('openvswitch'),
      vlan: z.int().min(1).max(4094).optional().describe('access VLAN of the ports'),
      bridgeOptions: z
        .array(z.string().regex(/^[a-z][\w-]*(:[\w-]+)?=\S+$/, 'COLUMN[:KEY]=VALUE'))
        .default([])
        .describe('set on the bridge as ovs-vsctl takes them'),
      portOptions: z
        .array(z.string().regex(/^[a-z][\w-]*(:[\w-]+)?=\S+$/, 'COLUMN[:KEY]=VALUE'))
        .default([])
        .describe('set on each port'),
    })
    .describe('taps on an Open vSwitch bridge, through ovs-vsctl'),
]);

export type Attachment = z.output<typeof attachment>;

export const netlinkOptions = z.strictObject({
  netns: z
    .string()
    .startsWith('/')
    .optional()
    .meta({ path: true })
    .describe(
      'network namespace that bridges and taps are made in, by path (/run/netns/NAME); without it that of this process',
    ),
  uplink: interfaceName
    .optional()
    .describe('interface whose MTU networks follow that set none; without it that of the default route'),
  adoptBridges: z
    .array(z.string())
    .default([])
    .describe(
      'bridges of yours that networks may use as they are: they must fit, and are never made, changed or deleted',
    ),
  attach: z
    .record(z.string(), attachment)
    .default({})
    .describe('how NICs are attached, by network: kind bridge (default), macvtap or openvswitch, with their options'),
  repair: z
    .enum(['demand', 'watch'])
    .default('demand')
    .describe(
      'watch: links and rules that somebody takes away are put back while a manager runs; demand: by net repair',
    ),
});

export type NetlinkOptions = z.output<typeof netlinkOptions>;
