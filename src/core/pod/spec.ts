import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { HyperplugError, shown } from '../errors.js';
import { deepFreeze } from '../json.js';
import { parseMac } from '../mac.js';
import type { PortMapping } from '../network.js';
import { parsePortRange } from './ports.js';

/** What a pod gets where its specification is silent. */
export interface PodDefaults {
  readonly cpus: number;
  readonly memoryMib: number;
  /** Slots kept free for NICs that are added while the pod runs. */
  readonly nicSlots: number;
  readonly network: string;
}

/** Debian's kernel panics, or its initramfs does not unpack, with less than 80. */
export const MIN_MEMORY_MIB = 96;

const ID = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** RFC 1123 labels. */
const HOSTNAME = /^(?=.{1,63}$)[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$/;

const id = z.string().regex(ID, 'lower-case letters, digits and dashes, at most 63, not beginning with a dash');
const port = z.union([z.number().int(), z.string()]);

const interfaceSchema = z.strictObject({
  id: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'lower-case letters, digits and dashes, at most 32')
    .optional(),
  network: z.string().min(1).optional().describe('name of a configured network'),
  ip: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe('addresses to ask for; else one is allocated'),
  mac: z.string().optional(),
  mtu: z.number().int().min(68).max(65535).optional(),
  ifname: z
    .string()
    .regex(/^[^\s/:]{1,15}$/, 'an interface name of at most 15 characters')
    .optional(),
});

const portSchema = z.strictObject({
  hostAddress: z.string().optional(),
  hostPort: port,
  containerPort: port.describe("hyperd's name for the port in the guest"),
  protocol: z.enum(['tcp', 'udp', 'sctp']).default('tcp'),
  interface: z.string().optional().describe('id of the interface it leads to; the first by default'),
});

const podSchema = z.strictObject({
  id: id.optional(),
  hostname: z.string().regex(HOSTNAME, 'a host name of at most 63 characters (RFC 1123)').optional(),
  resource: z
    .strictObject({
      vcpu: z.number().int().min(1).max(255).optional(),
      memory: z
        .number()
        .int()
        .min(MIN_MEMORY_MIB, `at least ${MIN_MEMORY_MIB} MiB, which the guest needs to boot`)
        .max(1_048_576)
        .optional()
        .describe('MiB'),
    })
    .optional(),
  interfaces: z.array(interfaceSchema).max(32).optional(),
  dns: z.array(z.string()).max(8).optional(),
  dnsOptions: z.array(z.string().regex(/^\S+$/)).max(16).optional(),
  dnsSearch: z.array(z.string().regex(HOSTNAME)).max(16).optional(),
  portmappings: z.array(portSchema).max(1024).optional(),
  labels: z.record(z.string().min(1).max(128), z.string().max(1024)).optional(),
  keep: z.boolean().optional().describe('the pod outlives the process that created it'),
  nicSlots: z.number().int().min(0).max(31).optional().describe('slots kept free for NICs added later'),
});

/** What users write: hyperd's UserPod names. */
export type PodSpecInput = z.input<typeof podSchema>;

export interface InterfaceSpec {
  readonly id: string;
  readonly network: string;
  /** Empty: automatic. */
  readonly addresses: readonly string[];
  readonly mac: string | undefined;
  readonly mtu: number | undefined;
  readonly name: string | undefined;
  readonly ports: readonly PortMapping[];
}

/** Complete and frozen. */
export interface PodSpec {
  readonly id: string;
  readonly hostname: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly interfaces: readonly InterfaceSpec[];
  readonly dns: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly keep: boolean;
  readonly nicSlots: number;
}

/**
 * Checks a specification and fills every default. Without interfaces it gets one default interface.
 * @throws POD_SPEC_INVALID that names each wrong field, the expectation and the value.
 */
export function parsePodSpec(input: unknown, defaults: PodDefaults): PodSpec {
  const parsed = podSchema.safeParse(input);
  if (!parsed.success) throw specError(parsed.error, input);
  const spec = parsed.data;
  const podId = spec.id ?? `pod-${randomBytes(5).toString('hex')}`;
  const wanted = spec.interfaces && spec.interfaces.length > 0 ? spec.interfaces : [{}];
  const ids = wanted.map((nic, index) => nic.id ?? `eth-${index === 0 ? 'default' : index}`);
  refuseDuplicates(ids, 'interfaces', 'id');
  const macs = wanted.map((nic, i) => (nic.mac === undefined ? undefined : parseMac(nic.mac, `interfaces[${i}].mac`)));
  refuseDuplicates(macs, 'interfaces', 'mac');
  refuseDuplicates(
    wanted.map((nic) => nic.ifname),
    'interfaces',
    'ifname',
  );
  const ports = (spec.portmappings ?? []).map((mapping, index) => {
    const field = `portmappings[${index}]`;
    const nicId = mapping.interface ?? ids[0];
    if (!ids.includes(nicId ?? '')) throw wrong(`${field}.interface`, `one of ${ids.join(', ')}`, mapping.interface);
    return { nicId, mapping: parsePortRange(mapping, field) };
  });
  return deepFreeze({
    id: podId,
    hostname: spec.hostname ?? podId,
    cpus: spec.resource?.vcpu ?? defaults.cpus,
    memoryMib: spec.resource?.memory ?? defaults.memoryMib,
    interfaces: wanted.map((nic, index) => ({
      id: ids[index] as string,
      network: nic.network ?? defaults.network,
      addresses: nic.ip === undefined ? [] : typeof nic.ip === 'string' ? [nic.ip] : nic.ip,
      mac: macs[index],
      mtu: nic.mtu,
      name: nic.ifname,
      ports: ports.filter((port) => port.nicId === ids[index]).map((port) => port.mapping),
    })),
    dns: spec.dns ?? [],
    dnsOptions: spec.dnsOptions ?? [],
    dnsSearch: spec.dnsSearch ?? [],
    labels: spec.labels ?? {},
    keep: spec.keep ?? false,
    nicSlots: spec.nicSlots ?? defaults.nicSlots,
  });
}

/** @throws POD_SPEC_INVALID, POD_NOT_FOUND is for ids that could exist. */
export function checkPodId(podId: string): string {
  if (!ID.test(podId)) throw wrong('id', 'lower-case letters, digits and dashes, at most 63', podId);
  return podId;
}

function wrong(field: string, expected: string, received: unknown): HyperplugError {
  return new HyperplugError('POD_SPEC_INVALID', `${field}: expected ${expected}, got ${shown(received)}`, {
    details: { field, expected, received },
  });
}

function refuseDuplicates(values: readonly (string | undefined)[], list: string, key: string): void {
  values.forEach((value, index) => {
    if (value !== undefined && values.indexOf(value) !== index) {
      throw wrong(`${list}[${index}].${key}`, 'a value of its own', value);
    }
  });
}

function specError(error: z.ZodError, input: unknown): HyperplugError {
  const issues = error.issues.map((issue) => {
    const path = issue.path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
    const field = path.replace(/^\./, '') || 'pod';
    const received = issue.path.reduce<unknown>(
      (value, part) =>
        typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[part] : undefined,
      input,
    );
    return { field, message: `${field}: ${issue.message}, got ${shown(received)}` };
  });
  return new HyperplugError('POD_SPEC_INVALID', issues.map((issue) => issue.message).join('; '), {
    details: { field: issues[0]?.field, fields: issues.map((issue) => issue.field) },
  });
}
