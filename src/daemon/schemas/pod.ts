import { z } from 'zod';
import type { ExecExit } from '../../core/agent.js';
import type { Diagnosis } from '../../core/diagnosis.js';
import type { VmExit } from '../../core/hypervisor.js';
import type { AddressLease, InterfaceAddress, PortMapping } from '../../core/network.js';
import type {
  ExecRequest,
  NicChange,
  PodNic,
  PodRoute,
  PodStatus,
  PortSelector,
  RouteInput,
} from '../../core/pod/types.js';
import { POD_STATES } from '../../core/pod/types.js';
import { time } from './common.js';

export const address = z
  .object({ address: z.string(), prefixLength: z.int() })
  .meta({ id: 'InterfaceAddress' }) satisfies z.ZodType<InterfaceAddress>;

export const protocol = z.enum(['tcp', 'udp', 'sctp']);

export const portMapping = z
  .object({
    protocol,
    hostAddress: z.string(),
    hostPort: z.int(),
    guestPort: z.int(),
    count: z.int().describe('hostPort + i leads to guestPort + i for i < count'),
    guestCount: z.int().optional().describe('with count 1: each connection goes to one of as many ports of the guest'),
  })
  .meta({ id: 'PortMapping' }) satisfies z.ZodType<PortMapping>;

const lease = z
  .object({
    network: z.string(),
    podId: z.string(),
    nicId: z.string(),
    addresses: z.array(address),
    gateways: z.array(z.string()),
    dns: z.array(z.string()),
    mtu: z.int(),
  })
  .meta({ id: 'AddressLease' }) satisfies z.ZodType<AddressLease>;

const guestNic = z
  .object({
    name: z.string(),
    index: z.int().optional(),
    mac: z.string(),
    mtu: z.int().optional(),
    up: z.boolean().optional(),
    addresses: z.array(address),
  })
  .meta({ id: 'GuestNic' });

export const podNic = z
  .object({
    id: z.string(),
    kind: z.enum(['network', 'loopback']),
    mac: z.string(),
    name: z.string().nullable().describe("null: the kernel's choice"),
    mtu: z.int(),
    addresses: z.array(address),
    lease: lease.nullable(),
    ports: z.array(portMapping),
    guest: guestNic.nullable().optional().describe('what the guest has, when it was last read'),
  })
  .meta({ id: 'PodNic' }) satisfies z.ZodType<PodNic>;

export const route = z.strictObject({
  destination: z.string().describe('CIDR, one address, or default'),
  gateway: z.string().optional(),
  nic: z.string().optional().describe('id of the NIC it leaves by'),
  metric: z.int().optional(),
}) satisfies z.ZodType<RouteInput>;

export const podRoute = z
  .object({
    ...route.shape,
    device: z.string().optional(),
    origin: z.enum(['pod', 'guest']),
    missing: z.literal(true).optional(),
  })
  .meta({ id: 'PodRoute' }) satisfies z.ZodType<PodRoute>;

export const podStatus = z
  .object({
    id: z.string(),
    state: z.enum(POD_STATES),
    createdAt: time,
    hypervisor: z.string(),
    network: z.string(),
    cpus: z.int(),
    memoryMib: z.int(),
    pid: z.int().nullable(),
    keep: z.boolean(),
    labels: z.record(z.string(), z.string()),
    addresses: z.array(z.string()),
    ports: z.array(portMapping),
    nics: z.array(podNic),
    routes: z.array(podRoute),
    consoleLogPath: z.string(),
    origin: z
      .object({ from: z.enum(['boot', 'template', 'pool']), template: z.string().nullable() })
      .nullable()
      .describe('how its VM came to be, last'),
  })
  .meta({ id: 'PodStatus' }) satisfies z.ZodType<PodStatus>;

export const vmExit = z
  .object({
    reason: z.enum(['shutdown', 'panicked', 'killed', 'crashed', 'unknown']),
    exitCode: z.int().nullable(),
    signal: z.string().nullable(),
    stderrTail: z.string(),
  })
  .meta({ id: 'VmExit' }) satisfies z.ZodType<VmExit>;

/** What one holds of a pod. */
export const heldPod = z
  .object({ id: z.string(), keep: z.boolean(), nics: z.array(podNic), consoleLogPath: z.string() })
  .meta({ id: 'HeldPod' });

export const nicChange = z.strictObject({
  addAddresses: z.array(z.string()).optional(),
  removeAddresses: z.array(z.string()).optional(),
  name: z.string().optional(),
  mtu: z.int().optional(),
}) satisfies z.ZodType<NicChange>;

export const portSelector = z.strictObject({
  hostPort: z.union([z.int(), z.string()]),
  protocol: protocol.optional(),
  hostAddress: z.string().optional(),
}) satisfies z.ZodType<PortSelector>;

const size = z.strictObject({
  rows: z.int().min(1).max(65_535),
  columns: z.int().min(1).max(65_535),
});

export const execRequest = z
  .strictObject({
    argv: z.array(z.string()).min(1).describe('the program and its arguments; no shell is involved'),
    env: z.record(z.string(), z.string()).optional(),
    workingDirectory: z.string().optional(),
    user: z.string().optional(),
    terminal: z.boolean().optional(),
    size: size.optional(),
    container: z.string().min(1).max(128).optional().describe('id of the container it runs in'),
  })
  .meta({ id: 'ExecRequest' }) satisfies z.ZodType<ExecRequest>;

export const execExit = z
  .object({ exitCode: z.int(), signal: z.int().optional() })
  .meta({ id: 'ExecExit' }) satisfies z.ZodType<ExecExit>;

export const signalFrame = z.strictObject({ id: z.int(), signal: z.int().min(1).max(64) });
export const resizeFrame = size.extend({ id: z.int() });
export const creditFrame = z.strictObject({
  stream: z.enum(['stdout', 'stderr']),
  bytes: z
    .int()
    .min(1)
    .max(1 << 30),
});

export const diagnosis = z
  .object({
    id: z.string(),
    status: z.enum(['ok', 'warn', 'fail']),
    summary: z.string(),
    detail: z.string().optional(),
    fix: z.string().optional(),
  })
  .meta({ id: 'Diagnosis' }) satisfies z.ZodType<Diagnosis>;
