import type { CallOptions } from '../../calls.js';
import { combineErrors } from '../../errors.js';
import type { VmExit } from '../../hypervisor.js';
import type { JsonValue } from '../../json.js';
import { freePod, makerOf } from '../destroy.js';
import type { ContainerRecord, PodRecord } from '../record.js';
import type { PodServices } from '../services.js';

/** How a pod came to its end. */
export interface Ending {
  readonly exit: VmExit | null;
  /** null: it ended as it was told to, or the guest powered off. */
  readonly failure: string | null;
}

const TEXT_LIMIT = 4096;

/** What an exit that nobody asked for makes of its pod. */
export function endingOf(exit: VmExit): Ending {
  if (exit.reason === 'shutdown') return { exit, failure: null };
  const how = exit.signal ? ` by ${exit.signal}` : exit.exitCode === null ? '' : ` (exit code ${exit.exitCode})`;
  const words = {
    panicked: "its guest's kernel panicked",
    killed: `its VM was killed${how}`,
    crashed: `its hypervisor failed${how}`,
    unknown: 'its VM was found gone',
  }[exit.reason];
  const stderr = exit.stderrTail.trim();
  return { exit, failure: (stderr ? `${words}: ${stderr}` : words).slice(0, TEXT_LIMIT) };
}

/**
 * A pod whose VM has ended, or shall: all that it held is given back, then its record says how it ended. What could not be
 * given back stays in the record, which is `failed` then, and the next look tries again.
 * @throws POD_CLEANUP_FAILED the record is written all the same; PLUGIN_NOT_FOUND nothing is done; POD_NOT_FOUND, POD_NOT_RUNNING (it is being removed).
 */
export async function finishPod(
  services: PodServices,
  record: PodRecord,
  { exit, failure }: Ending,
  call: CallOptions,
): Promise<PodRecord> {
  const { store, host } = services;
  const { id } = record;
  const manager = await host.self();
  const maker = await makerOf(services, record, call);
  const stopping = await store.update(id, (now) => ({ ...now, state: 'stopping', manager }), call);
  const errors = await freePod(services, stopping, maker);
  const left = errors.length > 0;
  const why = left ? [failure, `not all that it held could be given back: ${texts(errors)}`] : [failure];
  const text = why.filter((each) => each !== null).join('; ') || null;
  const state = text === null ? 'exited' : 'failed';
  const data: Record<string, JsonValue> = {
    ...(exit && { exit: { ...exit } }),
    ...(text !== null && { failure: text }),
  };
  const finishedAt = new Date().toISOString();
  const done = await store.update(
    id,
    (now) => ({
      ...now,
      containers: now.containers.map((each) => endedWithPod(each, finishedAt)),
      ...(!left && { nics: [], routes: [], vm: null }),
      state,
      exit,
      failure: text,
      finishedAt,
    }),
    call,
    [{ pod: id, type: state, data }],
  );
  if (left) throw combineErrors('POD_CLEANUP_FAILED', `pod ${id} ended, and not all that it held is free`, errors);
  return done;
}

const endedWithPod = (container: ContainerRecord, finishedAt: string): ContainerRecord =>
  container.state === 'running' ? { ...container, state: 'exited', finishedAt } : container;

const texts = (errors: readonly unknown[]) =>
  errors
    .map((error) => (error instanceof Error ? error.message : String(error)))
    .join('; ')
    .slice(0, TEXT_LIMIT);
