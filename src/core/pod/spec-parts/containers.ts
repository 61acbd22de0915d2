import { constants } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { ResourceLimit } from '../../container.js';
import type { PortRangeInput } from '../ports.js';
import { wrong } from '../spec-errors.js';
import {
  argv,
  environment,
  environmentMap,
  guestPath,
  partName,
  plainText,
  type RestartPolicy,
  restartPolicy,
} from './common.js';
import { completeFile, completePlace, type FilePlace, type FileSpec, fileReferenceSchema } from './files.js';
import { completeLimits, limitSchema } from './limits.js';
import { completeLayer, completeRoot, type LayerSpec, layerSchema, type RootSpec, rootSchema } from './root.js';
import { completeVolume, type VolumeSpec, volumeSchema } from './volumes.js';

const port = z.union([z.number().int(), z.string()]);

const containerPort = z.strictObject({
  name: z.string().optional(),
  containerPort: port,
  hostPort: port
    .optional()
    .describe('published there; without it the port is reached on the pod’s own address, as every one is'),
  hostIP: z.string().optional(),
  protocol: z.enum(['tcp', 'udp', 'sctp', 'TCP', 'UDP', 'SCTP', '']).optional(),
});

const volumeReference = z.strictObject({
  path: guestPath,
  volume: z.string().optional(),
  readOnly: z.boolean().optional(),
  detail: volumeSchema.optional().describe('the volume itself, instead of its name'),
});

const userSchema = z.union([
  z.string(),
  z.strictObject({
    name: z.string().optional(),
    group: z.string().optional(),
    additionalGroups: z.array(z.string()).max(64).optional(),
  }),
]);

/** What runs: of a container, and of the pod's own root. */
export const processFields = {
  ulimits: z.array(limitSchema).max(16).optional().describe('of what runs; not of other commands'),
  entrypoint: argv.optional().describe("instead of the image's"),
  command: argv.optional().describe("after the entrypoint; default: the image's"),
  workdir: z.union([z.string().regex(/^\//, 'an absolute path'), z.literal('')]).optional(),
  user: userSchema.optional(),
  stopSignal: z.union([z.string(), z.number().int()]).optional().describe('sent first at a stop; default SIGTERM'),
};

export const containerSchema = z.strictObject({
  id: partName.optional().describe('default: its name'),
  name: z
    .union([partName, z.literal('')])
    .optional()
    .describe('default: container-N'),
  image: rootSchema.optional().describe('its root; without it: the guest’s own, with a layer above it'),
  layer: layerSchema.optional(),
  readOnly: z.boolean().optional().describe('its root cannot be written to'),
  ...processFields,
  env: environment.optional(),
  envs: environment.optional().describe("hyperd's name for env"),
  tty: z.boolean().optional(),
  restartPolicy,
  volumes: z.array(volumeReference).max(64).optional(),
  files: z.array(fileReferenceSchema).max(256).optional(),
  ports: z.array(containerPort).max(256).optional(),
  sysctl: z.record(z.string().regex(/^[a-z0-9_./-]+$/i, 'a name of /proc/sys'), plainText).optional(),
  labels: z.record(z.string().min(1).max(128), z.string().max(1024)).optional(),
});

export type ContainerInput = z.input<typeof containerSchema>;

export interface UserSpec {
  readonly name: string | undefined;
  readonly group: string | undefined;
  readonly additionalGroups: readonly string[];
}

export interface ContainerSpec {
  readonly id: string;
  readonly name: string;
  /** null: the guest's own. */
  readonly root: RootSpec | null;
  readonly image: string | null;
  readonly layer: LayerSpec;
  readonly entrypoint: readonly string[] | undefined;
  readonly command: readonly string[] | undefined;
  readonly workingDirectory: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly user: UserSpec | undefined;
  readonly limits: readonly ResourceLimit[];
  readonly terminal: boolean;
  readonly restartPolicy: RestartPolicy;
  /** Number of the signal; undefined: the image's, or SIGTERM. */
  readonly stopSignal: number | undefined;
  readonly volumes: readonly { readonly volume: string; readonly path: string; readonly readOnly: boolean }[];
  readonly files: readonly FilePlace[];
  readonly sysctls: Readonly<Record<string, string>>;
  /** False: nothing runs in it by itself; it is there to run commands in. */
  readonly runs: boolean;
}

export interface PodParts {
  readonly env: Readonly<Record<string, string>>;
  readonly tty: boolean;
  readonly restartPolicy: RestartPolicy;
  readonly volumes: Map<string, VolumeSpec>;
  readonly files: ReadonlyMap<string, FileSpec>;
}

/** Volumes that it brings itself are added to the pod's. @throws POD_SPEC_INVALID, NOT_SUPPORTED. */
export function completeContainer(
  input: z.output<typeof containerSchema>,
  index: number,
  pod: PodParts,
  field: string,
): ContainerSpec {
  const name = input.name || input.id || `container-${index}`;
  const id = input.id ?? name;
  const root =
    input.image === undefined || input.image === '' ? undefined : completeRoot(input.image, `${field}.image`);
  const runs = input.command !== undefined || input.entrypoint !== undefined || root !== undefined;
  if (!runs) throw wrong(`${field}.command`, 'a command, or an image that has one', input.command);
  if (!root) refuseNoWords(input, `${field}.command`);
  return {
    id,
    name,
    root: root?.root ?? null,
    image: root?.text ?? null,
    layer: layerOf(input, root?.layer, field),
    entrypoint: input.entrypoint,
    command: input.command,
    workingDirectory: input.workdir || undefined,
    env: { ...pod.env, ...environmentMap(input.envs), ...environmentMap(input.env) },
    user: completeUser(input.user),
    limits: completeLimits(input.ulimits, `${field}.ulimits`),
    terminal: input.tty ?? pod.tty,
    restartPolicy: input.restartPolicy ?? pod.restartPolicy,
    stopSignal: input.stopSignal === undefined ? undefined : signalNumber(input.stopSignal, `${field}.stopSignal`),
    volumes: (input.volumes ?? []).map((each, at) => volumeOf(each, pod.volumes, `${field}.volumes[${at}]`)),
    files: (input.files ?? []).map((each, at) => fileOf(each, pod.files, `${field}.files[${at}]`)),
    sysctls: input.sysctl ?? {},
    runs,
  };
}

/** Where no image has a command. @throws POD_SPEC_INVALID */
export function refuseNoWords(
  { entrypoint = [], command }: { entrypoint?: string[]; command?: string[] },
  field: string,
) {
  if (entrypoint.length === 0 && (command ?? []).length === 0)
    throw wrong(field, 'a command of at least one word', command);
}

function layerOf(
  { readOnly, layer }: z.output<typeof containerSchema>,
  ofRoot: LayerSpec | undefined,
  field: string,
): LayerSpec {
  const given = completeLayer(layer) ?? ofRoot;
  if (!readOnly) return given ?? { kind: 'tmpfs' };
  if (given && given.kind !== 'read-only')
    throw wrong(`${field}.layer`, 'read-only, or nothing beside readOnly', given.kind);
  return { kind: 'read-only' };
}

export function completeUser(input: z.output<typeof userSchema> | undefined): UserSpec | undefined {
  if (input === undefined || input === '') return undefined;
  if (typeof input === 'string') {
    const [name, group] = input.split(':', 2);
    return { name: name || undefined, group: group || undefined, additionalGroups: [] };
  }
  const { name, group, additionalGroups = [] } = input;
  return { name: name || undefined, group: group || undefined, additionalGroups };
}

/** Of a name, with SIG before it or not, or a number. @throws POD_SPEC_INVALID */
export function signalNumber(value: string | number, field: string): number {
  const text = String(value).toUpperCase();
  if (/^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= 64) return Number(text);
  const names = constants.signals as Readonly<Record<string, number>>;
  const number = names[text.startsWith('SIG') ? text : `SIG${text}`];
  if (number === undefined) throw wrong(field, 'the name or number of a signal', value);
  return number;
}

function volumeOf(input: z.output<typeof volumeReference>, volumes: Map<string, VolumeSpec>, field: string) {
  const { path, detail, readOnly = false } = input;
  const name = detail?.name ?? input.volume;
  if (detail && input.volume && input.volume !== detail.name)
    throw wrong(`${field}.volume`, `${detail.name}, as detail has it, or nothing`, input.volume);
  if (detail) {
    const own = completeVolume(detail, `${field}.detail`);
    const other = volumes.get(own.name);
    // `path` is where the pod's own root has it.
    if (other && !isDeepStrictEqual({ ...own, path: other.path }, other))
      throw wrong(`${field}.detail`, `what the volume ${own.name} is already`, detail);
    if (!other) volumes.set(own.name, own);
  }
  const found = name === undefined ? undefined : volumes.get(name);
  if (!found)
    throw wrong(`${field}.volume`, `one of ${[...volumes.keys()].join(', ') || 'none: there are no volumes'}`, name);
  return { volume: found.name, path, readOnly: readOnly || found.readOnly };
}

function fileOf(
  input: z.output<typeof fileReferenceSchema>,
  files: ReadonlyMap<string, FileSpec>,
  field: string,
): FilePlace {
  const { filename, detail } = input;
  if (detail && filename && filename !== detail.name)
    throw wrong(`${field}.filename`, `${detail.name}, as detail has it, or nothing`, filename);
  const file = detail ? completeFile(detail, `${field}.detail`) : files.get(filename ?? '');
  if (!file)
    throw wrong(`${field}.filename`, `one of ${[...files.keys()].join(', ') || 'none: there are no files'}`, filename);
  return completePlace(input, file, field);
}

/** What of a container's ports is published, as the pod's port mappings. */
export function publishedPorts(
  inputs: readonly z.output<typeof containerSchema>[],
): { field: string; mapping: PortRangeInput & { readonly interface?: string | undefined } }[] {
  return inputs.flatMap(({ ports = [] }, index) =>
    ports.flatMap(({ hostPort, containerPort: guestPort, hostIP, protocol }, at) => {
      if (hostPort === undefined || hostPort === 0 || hostPort === '') return [];
      const known = (protocol || 'tcp').toLowerCase() as 'tcp' | 'udp' | 'sctp';
      const address = hostIP ? { hostAddress: hostIP } : {};
      const mapping = { hostPort, containerPort: guestPort, protocol: known, ...address };
      return [{ field: `containers[${index}].ports[${at}]`, mapping }];
    }),
  );
}
