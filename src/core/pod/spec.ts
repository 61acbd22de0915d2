import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { deepFreeze, type JsonValue } from '../json.js';
import {
  completeInterface,
  type InterfaceSpec,
  interfaceJson,
  interfaceSchema,
  LOOPBACK,
  portJson,
  portSchema,
} from './interface-spec.js';
import { parsePortRange } from './ports.js';
import { checked, wrong } from './spec-errors.js';

export type { InterfaceInput, NicInput, PortInput } from './interface-spec.js';

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
  network: z
    .string()
    .min(1)
    .optional()
    .describe('network of the interfaces that name none, a default interface among them; `none`: no NIC at all'),
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
 * Checks a specification and fills every default. Without interfaces it gets one default interface, unless its
 * network is `none`.
 * @throws POD_SPEC_INVALID that names each wrong field, the expectation and the value.
 */
export function parsePodSpec(input: unknown, defaults: PodDefaults): PodSpec {
  const spec = checked(podSchema, input, 'pod');
  const podId = spec.id ?? `pod-${randomBytes(5).toString('hex')}`;
  const wanted = wantedInterfaces(spec);
  const network = spec.network === undefined || spec.network === NO_NETWORK ? defaults.network : spec.network;
  const ids = wanted.map((nic, index) => nic.id ?? defaultId(nic.ifname, index));
  refuseDuplicates(ids, 'interfaces', 'id');
  const ports = (spec.portmappings ?? []).map((mapping, index) => {
    const field = `portmappings[${index}]`;
    const nicId = mapping.interface ?? ids[0];
    if (!ids.includes(nicId ?? '')) throw wrong(`${field}.interface`, `one of ${ids.join(', ')}`, mapping.interface);
    return { nicId, mapping: parsePortRange(mapping, field) };
  });
  const interfaces = wanted.map((nic, index) => {
    const mine = ports.filter((port) => port.nicId === ids[index]).map((port) => port.mapping);
    return completeInterface(nic, ids[index] as string, network, mine, `interfaces[${index}]`);
  });
  for (const [key, name] of [
    ['mac', 'mac'],
    ['name', 'ifname'],
    ['tap', 'tap'],
  ] as const) {
    refuseDuplicates(
      interfaces.map((nic) => nic[key]),
      'interfaces',
      name,
    );
  }
  return deepFreeze({
    id: podId,
    hostname: spec.hostname ?? podId,
    cpus: spec.resource?.vcpu ?? defaults.cpus,
    memoryMib: spec.resource?.memory ?? defaults.memoryMib,
    interfaces,
    dns: spec.dns ?? [],
    dnsOptions: spec.dnsOptions ?? [],
    dnsSearch: spec.dnsSearch ?? [],
    labels: spec.labels ?? {},
    keep: spec.keep ?? false,
    nicSlots: spec.nicSlots ?? defaults.nicSlots,
  });
}

/**
 * Of a pod with a life of its own.
 * @throws POD_SPEC_INVALID that too says `keep: false`.
 */
export function parseKeptPodSpec(input: unknown, defaults: PodDefaults): PodSpec {
  const { keep } = checked(podSchema, input, 'pod');
  if (keep === false) throw wrong('keep', 'true or nothing: this pod outlives whoever creates it', keep);
  return parsePodSpec({ ...(input as object), keep: true }, defaults);
}

/** What parsePodSpec() makes the same of, with every default filled in. */
export function podSpecJson(spec: PodSpec): JsonValue {
  const { id, hostname, cpus, memoryMib, interfaces, dns, dnsOptions, dnsSearch, labels, keep, nicSlots } = spec;
  return {
    id,
    hostname,
    resource: { vcpu: cpus, memory: memoryMib },
    ...(interfaces.every(({ kind }) => kind === 'loopback') && { network: NO_NETWORK }),
    interfaces: interfaces.map((nic) => interfaceJson(nic)),
    dns,
    dnsOptions,
    dnsSearch,
    portmappings: interfaces.flatMap((nic) => nic.ports.map((port) => ({ ...portJson(port), interface: nic.id }))),
    labels,
    keep,
    nicSlots,
  };
}

/** hyperd's empty list means a default interface; this says that there shall be none. */
export const NO_NETWORK = 'none';

function wantedInterfaces({ network, interfaces = [], portmappings = [] }: z.output<typeof podSchema>) {
  if (network !== NO_NETWORK) return interfaces.length > 0 ? interfaces : [{}];
  const nic = interfaces.findIndex(({ ifname }) => ifname !== LOOPBACK);
  if (nic !== -1) throw wrong(`interfaces[${nic}]`, 'none but lo beside network: none', interfaces[nic]);
  if (portmappings.length > 0) throw wrong('portmappings', 'none beside network: none', portmappings);
  return interfaces;
}

const defaultId = (name: string | undefined, index: number) =>
  name === LOOPBACK ? LOOPBACK : `eth-${index === 0 ? 'default' : index}`;

/** @throws POD_SPEC_INVALID, POD_NOT_FOUND is for ids that could exist. */
export function checkPodId(podId: string): string {
  if (!ID.test(podId)) throw wrong('id', 'lower-case letters, digits and dashes, at most 63', podId);
  return podId;
}

function refuseDuplicates(values: readonly (string | undefined)[], list: string, key: string): void {
  values.forEach((value, index) => {
    if (value !== undefined && values.indexOf(value) !== index) {
      throw wrong(`${list}[${index}].${key}`, 'a value of its own', value);
    }
  });
}
