import { readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import type { GuestSession } from '../../agent.js';
import type { CallOptions } from '../../calls.js';
import { concurrently } from '../../concurrently.js';
import type { ContainerProcess } from '../../container.js';
import { HyperplugError } from '../../errors.js';
import type { ContainerRecord } from '../record.js';
import { wrong } from '../spec-errors.js';
import { signalNumber } from '../spec-parts/containers.js';
import type { FilePlace } from '../spec-parts/files.js';
import type { PlannedContainer, StoragePlan } from './storage.js';

/** What the agent takes in one piece. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;

/** As the state store has them before anything is made. @throws POD_SPEC_INVALID there is nothing to run. */
export function plannedContainers(plans: readonly PlannedContainer[]): ContainerRecord[] {
  return plans.map((plan) => {
    const { id, name, image, restartPolicy, runs } = plan.spec;
    const process = runs ? processOf(plan) : null;
    return {
      id,
      name,
      image,
      state: 'created',
      exitCode: null,
      startedAt: null,
      finishedAt: null,
      restarts: 0,
      restartPolicy,
      stopSignal: stopSignalOf(plan),
      env: { ...plan.image?.env, ...plan.spec.env },
      process,
    };
  });
}

function stopSignalOf({ spec, image }: PlannedContainer): number {
  if (spec.stopSignal !== undefined) return spec.stopSignal;
  const named = image?.stopSignal;
  try {
    return named === undefined ? constants.signals.SIGTERM : signalNumber(named, 'stopSignal');
  } catch {
    // The image's word is nobody's mistake here.
    return constants.signals.SIGTERM;
  }
}

/** The specification goes before the image: an entrypoint of its own drops the image's command, too (as OCI runtimes do). */
function processOf({ spec, image }: PlannedContainer): ContainerProcess {
  const entrypoint = spec.entrypoint ?? image?.entrypoint ?? [];
  const command = spec.command ?? (spec.entrypoint === undefined ? (image?.cmd ?? []) : []);
  const argv = [...entrypoint, ...command];
  if (argv.length === 0) throw wrong(`command of container ${spec.name}`, 'one, as its image has none', undefined);
  const [imageUser, imageGroup] = (image?.user ?? '').split(':', 2);
  const user = spec.user?.name ?? (imageUser || undefined);
  const group = spec.user?.group ?? (spec.user?.name === undefined ? imageGroup || undefined : undefined);
  return {
    argv,
    env: { ...image?.env, ...spec.env },
    workingDirectory: spec.workingDirectory ?? (image?.workingDirectory || '/'),
    terminal: spec.terminal,
    ...(spec.limits.length > 0 && { limits: spec.limits }),
    ...(user !== undefined && { user }),
    ...(group !== undefined && { group }),
    ...(spec.user && spec.user.additionalGroups.length > 0 && { additionalGroups: spec.user.additionalGroups }),
  };
}

/** Volumes, then containers and what is put there, all at once; nothing runs in them yet. */
export async function makeContents(
  session: GuestSession,
  { volumes, containers }: StoragePlan,
  files: readonly FilePlace[],
  call: CallOptions,
): Promise<void> {
  const { features, description } = session;
  if (containers.length > 0 && !features.containers) throw cannot(description, 'containers');
  if (volumes.length > 0 && !features.volumes) throw cannot(description, 'volumes');
  // A mount below an earlier one needs that one.
  for (const mount of volumes) await session.mountVolume(mount, call);
  await concurrently(
    [
      ...containers.map(({ setup, spec }) => async (limited: CallOptions) => {
        await session.newContainer(setup, limited);
        for (const place of spec.files) await putFile(session, place, setup.id, limited);
      }),
      async (limited: CallOptions) => {
        for (const place of files) await putFile(session, place, undefined, limited);
      },
    ],
    call,
  );
}

function cannot(description: string, what: string): HyperplugError {
  return new HyperplugError('NOT_SUPPORTED', `the agent in the guest (${description}) has no ${what}`);
}

async function putFile(
  session: GuestSession,
  { path, file, mode, user, group }: FilePlace,
  container: string | undefined,
  call: CallOptions,
): Promise<void> {
  const content = await contentOf(file);
  await session.writeFile(path, content, call, {
    ...(container !== undefined && { container }),
    mode,
    ...(user !== undefined && { user }),
    ...(group !== undefined && { group }),
  });
}

/** @throws POD_SPEC_INVALID it is not there, or too large. */
async function contentOf({ name, source }: FilePlace['file']): Promise<Buffer> {
  if ('base64' in source) return Buffer.from(source.base64, 'base64');
  const field = `uri of file ${name}`;
  const content = await readFile(source.hostPath).catch((error: NodeJS.ErrnoException) => {
    throw wrong(field, `a file that can be read (${error.code})`, source.hostPath);
  });
  if (content.length > MAX_FILE_BYTES) throw wrong(field, `a file of at most ${MAX_FILE_BYTES} bytes`, source.hostPath);
  return content;
}
