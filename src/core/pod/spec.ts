import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { z } from 'zod';
import { deepFreeze, type JsonObject, type JsonValue } from '../json.js';
import type { AllowList, PortMapping } from '../network.js';
import { allowJson, completeAllow, whiteListsSchema } from './allow-list.js';
import {
  completeInterface,
  type InterfaceSpec,
  interfaceJson,
  interfaceSchema,
  LOOPBACK,
  portJson,
  portSchema,
} from './interface-spec.js';
import { parsePortRange, portsOverlap, rangeText } from './ports.js';
import type { RouteRecord } from './record.js';
import { parseRoute } from './routes.js';
import { checked, wrong } from './spec-errors.js';
import { environment, restartPolicy } from './spec-parts/common.js';
import { containerSchema, processFields, publishedPorts } from './spec-parts/containers.js';
import { completeContents, type PodContents } from './spec-parts/contents.js';
import { fileSchema } from './spec-parts/files.js';
import { logSchema } from './spec-parts/log.js';
import { withoutRefused } from './spec-parts/refused.js';
import { rootSchema } from './spec-parts/root.js';
import { volumeSchema } from './spec-parts/volumes.js';

export type { InterfaceInput, NicInput, PortInput } from './interface-spec.js';

/** What a pod gets where its specification is silent. */
export interface PodDefaults {
  readonly cpus: number;
  readonly memoryMib: number;
  /** Slots kept free for NICs that are added while the pod runs. */
  readonly nicSlots: number;
  readonly network: string;
  /** Of the template that the pod goes on from: where its `nicSlots` is silent it gets what its NICs leave of these. */
  readonly allNicSlots?: number;
}

/** Debian's kernel panics, or its initramfs does not unpack, with less than 80. */
export const MIN_MEMORY_MIB = 96;

const ID = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** RFC 1123 labels. */
const HOSTNAME = /^(?=.{1,63}$)[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$/;

const id = z.string().regex(ID, 'lower-case letters, digits and dashes, at most 63, not beginning with a dash');

const routeSchema = z.strictObject({
  destination: z.string().describe('CIDR, one address, or default'),
  gateway: z.string().optional(),
  nic: z.string().optional().describe('id of the interface it leaves by'),
  metric: z.number().int().min(0).max(4_294_967_295).optional(),
});

const podSchema = z.strictObject({
  id: id.optional(),
  hostname: z
    .union([z.string().regex(HOSTNAME, 'a host name of at most 63 characters (RFC 1123)'), z.literal('')])
    .optional(),
  type: z.enum(['pod', '']).optional().describe("hyperd's; there is one"),
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
    .min(1, 'the name of a network, or none')
    .optional()
    .describe('network of the interfaces that name none, a default interface among them; `none`: no NIC at all'),
  interfaces: z.array(interfaceSchema).max(32).optional(),
  routes: z.array(routeSchema).max(256).optional(),
  dns: z
    .array(z.string().refine((text) => isIP(text) !== 0, 'an IPv4 or IPv6 address'))
    .max(8)
    .optional(),
  dnsOptions: z.array(z.string().regex(/^\S+$/, 'text without spaces')).max(16).optional(),
  dnsSearch: z.array(z.string().regex(HOSTNAME, 'a domain (RFC 1123)')).max(16).optional(),
  portmappings: z.array(portSchema).max(1024).optional(),
  portmappingWhiteLists: whiteListsSchema.nullish(),
  labels: z.record(z.string().min(1).max(128), z.string().max(1024)).optional(),
  restartPolicy: restartPolicy.describe('of the pod, and of containers that have none of their own'),
  tty: z.boolean().optional().describe('of containers that do not say'),
  log: logSchema.optional(),
  env: environment.optional().describe('of whatever runs in the pod'),
  rootfs: rootSchema.optional().describe("the pod's own root, in which commands run"),
  ...processFields,
  volumes: z.array(volumeSchema).max(64).optional(),
  files: z.array(fileSchema).max(256).optional(),
  containers: z.array(containerSchema).max(64).optional(),
  keep: z.boolean().optional().describe('the pod outlives the process that created it'),
  nicSlots: z.number().int().min(0).max(31).optional().describe('slots kept free for NICs added later'),
  template: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'the name of a template, auto, or none')
    .optional()
    .describe('a saved VM that this one goes on from: its name; auto: one that fits, if there is one; none'),
});

export const POD_SCHEMA: z.ZodType = podSchema;

/** What users write: hyperd's UserPod names, and ours beside them. */
export type PodSpecInput = z.input<typeof podSchema>;

/** Complete and frozen. */
export interface PodSpec extends PodContents {
  readonly id: string;
  readonly hostname: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly interfaces: readonly InterfaceSpec[];
  /** Beside the default routes. */
  readonly routes: readonly RouteRecord[];
  readonly dns: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly dnsSearch: readonly string[];
  /** Who may reach its NICs from outside their networks; undefined: no restriction. */
  readonly allow?: AllowList;
  readonly labels: Readonly<Record<string, string>>;
  readonly keep: boolean;
  readonly nicSlots: number;
  /** A template's name, `auto` or `none`; undefined: as is configured. */
  readonly template: string | undefined;
  /** What parsePodSpec() makes the same of, with every default filled in. */
  readonly json: JsonValue;
}

/**
 * Checks a specification and fills every default. Without interfaces it gets one default interface, unless its
 * network is `none`.
 * @throws POD_SPEC_INVALID that names each wrong field, the expectation and the value; NOT_SUPPORTED a field of hyperd's
 * that asks for what there is not.
 */
export function parsePodSpec(input: unknown, defaults: PodDefaults): PodSpec {
  const spec = checked(podSchema, withoutRefused(input), 'pod');
  const podId = spec.id ?? `pod-${randomBytes(5).toString('hex')}`;
  const wanted = wantedInterfaces(spec);
  const network = spec.network === undefined || spec.network === NO_NETWORK ? defaults.network : spec.network;
  const ids = wanted.map((nic, index) => nic.id ?? defaultId(nic.ifname, index));
  refuseDuplicates(ids, 'interfaces', 'id');
  const mappings: ReturnType<typeof publishedPorts> = [
    ...(spec.portmappings ?? []).map((mapping, index) => ({ field: `portmappings[${index}]`, mapping })),
    ...publishedPorts(spec.containers ?? []),
  ];
  const ports = mappings.map(({ field, mapping }) => {
    const nicId = mapping.interface ?? ids[0];
    if (!ids.includes(nicId ?? '')) throw wrong(`${field}.interface`, `one of ${ids.join(', ')}`, nicId);
    return { nicId, field, mapping: parsePortRange(mapping, field) };
  });
  refuseSharedPorts(ports);
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
  const { contents, json } = completeContents(spec);
  const allow = completeAllow(spec.portmappingWhiteLists);
  const complete = {
    id: podId,
    hostname: spec.hostname || podId,
    cpus: spec.resource?.vcpu ?? defaults.cpus,
    memoryMib: spec.resource?.memory ?? defaults.memoryMib,
    interfaces,
    routes: (spec.routes ?? []).map((route, index) => parseRoute(route as RouteRecord, interfaces, `routes[${index}]`)),
    dns: spec.dns ?? [],
    dnsOptions: spec.dnsOptions ?? [],
    dnsSearch: spec.dnsSearch ?? [],
    ...(allow && { allow }),
    labels: spec.labels ?? {},
    keep: spec.keep ?? false,
    nicSlots: spec.nicSlots ?? slotsLeft(defaults, interfaces),
    template: spec.template,
    ...contents,
  };
  return deepFreeze({ ...complete, json: { ...podJson(complete), ...json } });
}

/**
 * Of a pod with a life of its own.
 * @throws POD_SPEC_INVALID that too says `keep: false`.
 */
export function parseKeptPodSpec(input: unknown, defaults: PodDefaults): PodSpec {
  const keep = typeof input === 'object' && input !== null ? (input as { keep?: unknown }).keep : undefined;
  if (keep === false) throw wrong('keep', 'true or nothing: this pod outlives whoever creates it', keep);
  return parsePodSpec(typeof input === 'object' && input !== null ? { ...input, keep: keep ?? true } : input, defaults);
}

function podJson(spec: Omit<PodSpec, 'json' | keyof PodContents>): JsonObject {
  const { id, hostname, cpus, memoryMib, interfaces, routes, dns, dnsOptions, dnsSearch, allow, labels } = spec;
  const { keep, nicSlots, template } = spec;
  return {
    id,
    hostname,
    resource: { vcpu: cpus, memory: memoryMib },
    ...(interfaces.every(({ kind }) => kind === 'loopback') && { network: NO_NETWORK }),
    interfaces: interfaces.map((nic) => interfaceJson(nic)),
    routes: routes.map((route) => ({ ...route })),
    dns,
    dnsOptions,
    dnsSearch,
    portmappings: interfaces.flatMap((nic) => nic.ports.map((port) => ({ ...portJson(port), interface: nic.id }))),
    ...(allow && { portmappingWhiteLists: allowJson(allow) }),
    labels,
    keep,
    nicSlots,
    ...(template !== undefined && { template }),
  };
}

function slotsLeft({ nicSlots, allNicSlots }: PodDefaults, interfaces: readonly InterfaceSpec[]): number {
  if (allNicSlots === undefined) return nicSlots;
  return Math.max(0, allNicSlots - interfaces.filter(({ kind }) => kind === 'network').length);
}

/** Two of one pod that want the same host port: the second could not be published. */
function refuseSharedPorts(ports: readonly { readonly field: string; readonly mapping: PortMapping }[]): void {
  for (const [index, { field, mapping }] of ports.entries()) {
    const other = ports.slice(0, index).find((each) => portsOverlap(each.mapping, mapping));
    if (!other) continue;
    const { protocol, hostPort, count } = mapping;
    const received = count > 1 ? rangeText(hostPort, count) : hostPort;
    throw wrong(`${field}.hostPort`, `another ${protocol} port than ${other.field} has`, received);
  }
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
