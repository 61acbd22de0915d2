import { type UserCallOptions, withDeadline } from '../../calls.js';
import { HyperplugError, hasCode } from '../../errors.js';
import { explainSystemError } from '../../system-error.js';
import type { BootWay } from '../../template/choice.js';
import { UndoStack } from '../../undo.js';
import { checkMakers } from '../destroy.js';
import type { PodEventInput } from '../events/event-log.js';
import { lockPod } from '../lock.js';
import type { PlannedNic } from '../nics.js';
import type { PodRecord } from '../record.js';
import { type PodServices, podDirectories } from '../services.js';
import { type PodSpec, parsePodSpec } from '../spec.js';
import { type Booted, bootPod, checkLimits, plannedNics } from './boot.js';
import { byWay, chooseWay } from './boot-way.js';
import { checkCreatable } from './check-create.js';
import type { PodHold, PodHolds } from './holds.js';
import { createRecord } from './new-record.js';
import { settleLocked } from './settle.js';

const RECORD_TIMEOUT_MS = 60_000;

/** Record and boot in one: on rejection nothing remains. */
export async function createAndBoot(
  services: PodServices,
  holds: PodHolds,
  spec: PodSpec,
  { signal }: UserCallOptions,
): Promise<PodHold> {
  checkLimits(spec, services.driver.capabilities);
  // Before a VM of the pool is taken, or an image built.
  const planned = plannedNics(services, spec);
  const way = await chooseWay(services, spec, signal);
  return byWay(services, spec, way, signal, (chosen) => createBy(services, holds, spec, planned, chosen, signal));
}

async function createBy(
  services: PodServices,
  holds: PodHolds,
  spec: PodSpec,
  planned: readonly PlannedNic[],
  way: BootWay,
  signal: AbortSignal | undefined,
): Promise<PodHold> {
  const { host, directories } = services;
  const undo = new UndoStack();
  let claimed = false;
  try {
    const lock = await lockPod(host, podDirectories(directories, spec.id).lock, spec.id, `pod ${spec.id}`, signal);
    undo.push('pod lock', () => lock.release({ remove: true }));
    const record = await withDeadline(`record of pod ${spec.id}`, RECORD_TIMEOUT_MS, signal, (call) =>
      createRecord(services, spec, undo, call, { nics: planned.map((nic) => nic.planned), clone: way.clone }),
    );
    claimed = true;
    const booted = await bootPod(services, record, spec, way, planned, undo, signal);
    await booted.table.update(
      (now) => ({ ...booted.done(now), ...hasStarted(now, way) }),
      { signal: AbortSignal.timeout(RECORD_TIMEOUT_MS) },
      [{ pod: spec.id, type: 'created' }, ...startEvents(booted)],
    );
    undo.clear();
    return added(holds.add(spec.id, booted, lock));
  } catch (error) {
    const cause = explainSystemError(error, `pod ${spec.id}`);
    const failure = await undo.fail(
      'POD_CLEANUP_FAILED',
      `pod ${spec.id} could not be created, nor undone wholly`,
      cause,
    );
    await leaveClone(services, way, claimed);
    throw failure;
  }
}

/** `claimed`: a record named it. */
async function leaveClone({ pool }: PodServices, { clone }: BootWay, claimed: boolean): Promise<void> {
  if (!clone) return;
  if (claimed) await pool?.discard(clone);
  else pool?.giveBack(clone);
}

/** Record alone. All or nothing. */
export async function createStopped(
  services: PodServices,
  spec: PodSpec,
  { signal, timeoutMs = RECORD_TIMEOUT_MS }: UserCallOptions,
): Promise<PodRecord> {
  const { driver, host, directories, store } = services;
  checkLimits(spec, driver.capabilities);
  await checkCreatable(services, spec);
  const { id } = spec;
  const undo = new UndoStack();
  try {
    return await withDeadline(`create pod ${id}`, timeoutMs, signal, async (call) => {
      const lock = await lockPod(host, podDirectories(directories, id).lock, id, `create pod ${id}`, call.signal);
      undo.push('pod lock', () => lock.release({ remove: true }));
      await createRecord(services, spec, undo, call);
      const created = await store.update(id, (now) => ({ ...now, state: 'created' }), call, [
        { pod: id, type: 'created' },
      ]);
      await lock.release({ remove: true });
      return created;
    });
  } catch (error) {
    const cause = explainSystemError(error, `pod ${id}`);
    throw await undo.fail('POD_CLEANUP_FAILED', `pod ${id} could not be created, nor undone wholly`, cause);
  }
}

/** By the pod's own policy. `due` is asked under the pod's lock: somebody else may have been at it. */
export interface Restart {
  readonly restarts: number;
  due(record: PodRecord): boolean;
}

/**
 * Boots a recorded pod, in its turn. undefined: it runs in another process's hands, or by itself, or is not due any more.
 * @throws POD_BUSY; the plugins' codes: it is as before then.
 */
export async function startPod(
  services: PodServices,
  holds: PodHolds,
  id: string,
  { signal }: UserCallOptions,
  restart?: Restart,
): Promise<PodHold | undefined> {
  const { store } = services;
  const known = await store.read(id, { signal: signal ?? AbortSignal.timeout(RECORD_TIMEOUT_MS) });
  const running = known.state === 'running' || known.state === 'paused' || known.spec === null;
  if (running) return startBy(services, holds, id, undefined, { signal }, restart);
  const spec = startable(services, known);
  const way = await chooseWay(services, spec, signal);
  return byWay(services, spec, way, signal, (chosen) => startBy(services, holds, id, chosen, { signal }, restart));
}

/** `way`: undefined where there was nothing to boot when it was last looked at. */
async function startBy(
  services: PodServices,
  holds: PodHolds,
  id: string,
  way: BootWay | undefined,
  { signal }: UserCallOptions,
  restart: Restart | undefined,
): Promise<PodHold | undefined> {
  const { store, host, directories } = services;
  const reading = { signal: signal ?? AbortSignal.timeout(RECORD_TIMEOUT_MS) };
  const lock = await lockPod(host, podDirectories(directories, id).lock, id, `start pod ${id}`, signal).catch(
    async (error: unknown) => {
      if (way) await leaveClone(services, way, false);
      // Whoever holds it may have started it.
      if (hasCode(error, 'POD_BUSY') && (await store.read(id, reading)).state === 'running') return undefined;
      throw error;
    },
  );
  if (!lock) return undefined;
  const undo = new UndoStack();
  let chosen = way;
  let claimed = false;
  undo.push('pod lock', () => lock.release());
  try {
    const before = await withDeadline(`record of pod ${id}`, RECORD_TIMEOUT_MS, signal, async (call) =>
      settleLocked(services, await store.read(id, call), call),
    );
    if (before.state === 'running' || restart?.due(before) === false) {
      await lock.release();
      if (chosen) await leaveClone(services, chosen, false);
      return undefined;
    }
    const spec = startable(services, before);
    const by = chosen ?? (await chooseWay(services, spec, signal));
    chosen = by;
    const manager = await host.self();
    const planned = plannedNics(services, spec);
    const nics = planned.map((nic) => nic.planned);
    undo.pushWhenClean('pod record', (call) =>
      store.update(id, (now) => ({ ...now, state: before.state, failure: before.failure }), call),
    );
    const record = await withDeadline(`record of pod ${id}`, RECORD_TIMEOUT_MS, signal, (call) =>
      store.update(
        id,
        (now) => ({
          ...now,
          ...{ state: 'starting', manager, nics, routes: [], session: host.session ?? null },
          ...placeOf(services, id, by),
        }),
        call,
      ),
    );
    claimed = true;
    const booted = await bootPod(services, record, spec, by, planned, undo, signal);
    await booted.table.update(
      (now) => ({ ...booted.done(now), ...hasStarted(now, by), restarts: restart?.restarts ?? 0 }),
      { signal: AbortSignal.timeout(RECORD_TIMEOUT_MS) },
      startEvents(booted),
    );
    undo.clear();
    return added(holds.add(id, booted, lock));
  } catch (error) {
    const failure = await undo.fail(
      'POD_CLEANUP_FAILED',
      `pod ${id} could not be started, nor undone wholly`,
      explainSystemError(error, `pod ${id}`),
    );
    if (chosen) await leaveClone(services, chosen, claimed);
    await tellFailure(services, id, failure);
    await lock.release();
    throw failure;
  }
}

/** The pod is as it was; who follows its events learns that it was tried. */
async function tellFailure({ store }: PodServices, id: string, error: unknown): Promise<void> {
  const failure = error instanceof Error ? error.message : String(error);
  const event = { pod: id, type: 'failed', data: { failure } } as const;
  await store.update(id, (now) => now, { signal: AbortSignal.timeout(RECORD_TIMEOUT_MS) }, [event]).catch(() => {});
}

function startEvents({ table }: Booted): PodEventInput[] {
  const { id: pod, containers } = table.record;
  return [
    { pod, type: 'started' },
    ...containers
      .filter(({ process }) => process !== null)
      .map(({ id }): PodEventInput => ({ pod, type: 'container-started', data: { container: id, restarts: 0 } })),
  ];
}

/** One that has ended before anybody listened is seen now. */
function added(hold: PodHold): PodHold {
  void hold.supervisor?.sync({ signal: AbortSignal.timeout(RECORD_TIMEOUT_MS) }).catch(() => {});
  return hold;
}

/** Where its VM is. A clone of the pool has been somewhere already; by this it is the pod's. */
function placeOf({ directories }: PodServices, id: string, { clone }: BootWay): Pick<PodRecord, 'runDir' | 'vm'> {
  if (!clone) return { runDir: podDirectories(directories, id).run, vm: null };
  return { runDir: clone.runDir, vm: clone.vm.hypervisor.record() };
}

/** Each boot later than the one before, however the clock was set meanwhile: logs are told apart by it. */
function startTime({ startedAt }: PodRecord): string {
  return new Date(Math.max(Date.now(), startedAt === null ? 0 : Date.parse(startedAt) + 1)).toISOString();
}

const hasStarted = (record: PodRecord, { template, clone }: BootWay) =>
  ({
    state: 'running',
    origin: { from: clone ? 'pool' : template ? 'template' : 'boot', template: template?.name ?? null },
    startedAt: startTime(record),
    stopped: false,
    finishedAt: null,
    exit: null,
    failure: null,
  }) as const;

/** @throws POD_NOT_RUNNING it is paused; NOT_SUPPORTED its specification was never written down. */
function startable(services: PodServices, record: PodRecord): PodSpec {
  const { id, state, spec } = record;
  if (state === 'paused') {
    throw new HyperplugError('POD_NOT_RUNNING', `pod ${id}: it is paused; resume it`, { details: { field: 'pod' } });
  }
  if (spec === null) {
    throw new HyperplugError(
      'NOT_SUPPORTED',
      `pod ${id} was created by a version that did not write its specification down: remove it and create it again`,
    );
  }
  checkMakers(services, record);
  return parsePodSpec(spec, services.defaults);
}
