import { z } from 'zod';
import type { DiskFormat, NicEndpointKind } from '../hypervisor.js';
import type { TransportProtocol } from '../network.js';
import type { PluginKind, PluginKinds } from '../plugin.js';

const keysOf = <K extends string>(table: Record<K, true>) => Object.keys(table) as K[];

const flag = z.boolean();
const endpointKinds = z.array(
  z.enum(
    keysOf<NicEndpointKind>({
      'tap-fd': true,
      'tap-name': true,
      interface: true,
      seqpacket: true,
      stream: true,
      builtin: true,
    }),
  ),
);
const protocols = z.array(z.enum(keysOf<TransportProtocol>({ tcp: true, udp: true, sctp: true })));
const families = z.array(z.union([z.literal(4), z.literal(6)]));
const count = z.int().nonnegative();

/** The capability manifest of each kind, strictly: a misspelt capability would otherwise be one that is not declared. */
export const CAPABILITY_SCHEMAS = {
  hypervisor: z.strictObject({
    builtinNetwork: flag,
    nicEndpoints: endpointKinds,
    coldplugNic: flag,
    hotplugNic: flag,
    liveForwards: flag,
    maxNics: count,
    detachNeedsGuest: z.enum(['none', 'helps', 'link-down']),
    linkUp: z.enum(['attach', 'guest-up']),
    pause: flag,
    gracefulShutdown: flag,
    snapshot: flag,
    hotplugCpu: flag,
    hotplugMemory: flag,
    adopt: flag,
    netns: flag,
    channels: z.strictObject({ creditWindowBytes: z.int().positive().nullable(), reopen: flag }),
    maxCpus: z.int().positive(),
    maxMemoryMib: z.int().positive(),
    disks: z
      .strictObject({ formats: z.array(z.enum(keysOf<DiskFormat>({ raw: true, qcow2: true }))).min(1), max: count })
      .optional(),
    shares: z.strictObject({ max: count, writable: flag }).optional(),
  }),
  network: z.strictObject({
    endpoints: endpointKinds.min(1),
    hypervisorNetwork: flag,
    needsRoot: flag,
    multipleNetworks: flag,
    families: families.min(1),
    staticAddress: flag,
    podToPod: flag,
    isolation: flag,
    publish: protocols,
    livePublish: flag,
    mtu: z.strictObject({ min: z.int().positive(), max: z.int().positive() }),
    tapByName: flag.optional(),
    restricts: flag.optional(),
    publishToAny: flag.optional(),
  }),
  firewall: z.strictObject({
    families,
    protocols,
    enforces: flag,
    isolation: flag,
    localhost: flag,
    hairpin: flag,
    needsRoot: flag,
    restricts: flag.optional(),
    publishToAny: flag.optional(),
  }),
  agent: z.strictObject({
    channels: z.array(z.string().min(1)).min(1),
    terminal: flag,
    files: flag,
    onlineCpuMemory: flag,
  }),
  'address-pool': z.strictObject({
    families: families.min(1),
    shortestPrefix: z.strictObject({ 4: z.int().min(0).max(32), 6: z.int().min(0).max(128) }),
    durable: flag,
  }),
  state: z.strictObject({ durable: flag, multiProcess: flag }),
} as const satisfies { [K in PluginKind]: z.ZodType<PluginKinds[K]['capabilities']> };
