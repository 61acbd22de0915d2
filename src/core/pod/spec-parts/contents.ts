import type { z } from 'zod';
import type { JsonObject, JsonValue } from '../../json.js';
import { wrong } from '../spec-errors.js';
import { type environment, environmentMap, type RestartPolicy } from './common.js';
import {
  type ContainerSpec,
  completeContainer,
  completeUser,
  type containerSchema,
  type PodParts,
  type processFields,
  refuseNoWords,
  signalNumber,
} from './containers.js';
import { completeFile, completePlace, type FilePlace, type fileSchema } from './files.js';
import { completeLimits } from './limits.js';
import { completeLog, type LogSpec, logJson, type logSchema } from './log.js';
import { completeRoot, type rootSchema } from './root.js';
import { completeVolume, type VolumeSpec, type volumeSchema } from './volumes.js';

/** The container that is the pod's own root. */
export const MAIN_CONTAINER = 'main';

/** What is in a pod. */
export interface PodContents {
  readonly restartPolicy: RestartPolicy;
  readonly log: LogSpec;
  /** Of whatever runs in it. */
  readonly env: Readonly<Record<string, string>>;
  /** `main`, where the pod has a root or a command of its own, comes first. */
  readonly containers: readonly ContainerSpec[];
  readonly volumes: readonly VolumeSpec[];
  /** Put into the guest's own root; where there is a `main`, they are among its own. */
  readonly files: readonly FilePlace[];
}

type Fields<F extends Record<string, z.ZodType>> = { readonly [K in keyof F]?: z.output<F[K]> };

export interface ContentsInput extends Fields<typeof processFields> {
  readonly restartPolicy?: RestartPolicy | undefined;
  readonly tty?: boolean | undefined;
  readonly log?: z.output<typeof logSchema> | undefined;
  readonly env?: z.output<typeof environment> | undefined;
  readonly rootfs?: z.output<typeof rootSchema> | undefined;
  readonly volumes?: readonly z.output<typeof volumeSchema>[] | undefined;
  readonly files?: readonly z.output<typeof fileSchema>[] | undefined;
  readonly containers?: readonly z.output<typeof containerSchema>[] | undefined;
}

/** @throws POD_SPEC_INVALID, NOT_SUPPORTED. */
export function completeContents(input: ContentsInput): { contents: PodContents; json: JsonObject } {
  const volumes = named(
    (input.volumes ?? []).map((each, index) => completeVolume(each, `volumes[${index}]`)),
    'volumes',
  );
  const files = named(
    (input.files ?? []).map((each, index) => completeFile(each, `files[${index}]`)),
    'files',
  );
  const pod: PodParts = {
    env: environmentMap(input.env),
    tty: input.tty ?? false,
    restartPolicy: input.restartPolicy ?? 'never',
    volumes,
    files,
  };
  const places = (input.files ?? []).flatMap(({ path, perm, user, group, name }, index) =>
    path === undefined ? [] : [completePlace({ path, perm, user, group }, files.get(name)!, `files[${index}]`)],
  );
  const main = mainContainer(input, pod, places);
  const others = (input.containers ?? []).map((each, index) =>
    completeContainer(each, index, pod, `containers[${index}]`),
  );
  const containers = [...main, ...others];
  checkNames(containers, main.length);
  const log = completeLog(input.log);
  const { env, restartPolicy } = pod;
  return {
    contents: {
      env,
      restartPolicy,
      log,
      containers,
      volumes: [...volumes.values()],
      files: main.length > 0 ? [] : places,
    },
    json: contentsJson(input, pod, log, others),
  };
}

function mainContainer(input: ContentsInput, pod: PodParts, files: readonly FilePlace[]): ContainerSpec[] {
  const { rootfs, entrypoint, command, workdir, user, stopSignal, ulimits } = input;
  const root = rootfs === undefined ? undefined : completeRoot(rootfs, 'rootfs');
  const runs = entrypoint !== undefined || command !== undefined;
  if (!root && !runs) {
    for (const [field, value] of Object.entries({ workdir, user, stopSignal, ulimits: ulimits?.[0] && ulimits })) {
      if (value) throw wrong(field, 'a command or a rootfs beside it', value);
    }
    return [];
  }
  if (!root) refuseNoWords({ entrypoint, command }, 'command');
  return [
    {
      id: MAIN_CONTAINER,
      name: MAIN_CONTAINER,
      root: root?.root ?? null,
      image: root?.text ?? null,
      layer: root?.layer ?? { kind: 'tmpfs' },
      entrypoint,
      command,
      workingDirectory: workdir || undefined,
      env: pod.env,
      user: completeUser(user),
      limits: completeLimits(ulimits, 'ulimits'),
      terminal: pod.tty,
      restartPolicy: pod.restartPolicy,
      stopSignal: stopSignal === undefined ? undefined : signalNumber(stopSignal, 'stopSignal'),
      volumes: [...pod.volumes.values()].flatMap(({ name, path, readOnly }) =>
        path === undefined ? [] : [{ volume: name, path, readOnly }],
      ),
      files,
      sysctls: {},
      runs,
    },
  ];
}

function named<T extends { readonly name: string }>(items: readonly T[], list: string): Map<string, T> {
  const map = new Map<string, T>();
  for (const [index, item] of items.entries()) {
    if (map.has(item.name)) throw wrong(`${list}[${index}].name`, 'a value of its own', item.name);
    map.set(item.name, item);
  }
  return map;
}

/** Either names a container, so no name may be another's id. `hyperstart` is the agent's word for the guest itself. */
function checkNames(containers: readonly ContainerSpec[], mains: number): void {
  const taken = new Set<string>(['hyperstart']);
  for (const [index, { id, name }] of containers.entries()) {
    for (const [key, value] of id === name
      ? [['id', id]]
      : [
          ['id', id],
          ['name', name],
        ]) {
      if (taken.has(value!)) throw wrong(`containers[${index - mains}].${key}`, 'a value of its own', value);
      taken.add(value!);
    }
  }
}

function contentsJson(
  input: ContentsInput,
  pod: PodParts,
  log: LogSpec,
  containers: readonly ContainerSpec[],
): JsonObject {
  const { rootfs, entrypoint, command, workdir, user, stopSignal, ulimits, volumes = [], files = [] } = input;
  const json = {
    restartPolicy: pod.restartPolicy,
    tty: pod.tty,
    log: logJson(log),
    env: pod.env,
    rootfs,
    entrypoint,
    command,
    workdir,
    user,
    stopSignal,
    ulimits,
    volumes,
    files,
    // What they publish is among the pod's port mappings.
    containers: (input.containers ?? []).map(({ ports: _, envs: __, ...each }, index) => {
      const { id, name, env, terminal, restartPolicy } = containers[index]!;
      return { ...each, id, name, env, tty: terminal, restartPolicy };
    }),
  };
  return JSON.parse(JSON.stringify(json)) as JsonObject & JsonValue;
}
