import { type CallOptions, type UserCallOptions, withDeadline } from '../calls.js';
import { HyperplugError, hasCode } from '../errors.js';
import { collectGarbage, type GcRun } from '../gc/gc.js';
import { podVerdict, settlePod } from '../gc/pod-verdict.js';
import type { GcHost, GcServices } from '../gc/services.js';
import type { GcReport } from '../gc/types.js';
import { directoriesSeen } from '../gc/unrecorded.js';
import type { VmExit } from '../hypervisor.js';
import type { NicInUse } from '../networks.js';
import { checkMakers, destroyPod } from './destroy.js';
import { podStatus } from './details.js';
import { Wake } from './events/wake.js';
import type { HeldPod } from './held-pod.js';
import { endingOf, finishPod } from './life/finish.js';
import { type PodHold, PodHolds } from './life/holds.js';
import { isPassing, look } from './life/look.js';
import { createAndBoot, startPod } from './life/start.js';
import { stopPod } from './life/stop.js';
import { restartDelayMs, restarts } from './life/supervisor.js';
import { lockPod, underLock } from './lock.js';
import type { PodLife } from './pod-backend.js';
import { type PodRecord, policyOf } from './record.js';
import { type PodServices, podDirectories } from './services.js';
import { checkPodId, parsePodSpec } from './spec.js';
import type { PodStatus } from './types.js';

export const CALL_TIMEOUT_MS = 60_000;
const GC_TIMEOUT_MS = 10 * 60_000;

/** A guest in which nothing runs powers off at once, or not at all. */
const POWER_OFF_GRACE_MS = 5_000;
const deadline = (): CallOptions => ({ signal: AbortSignal.timeout(CALL_TIMEOUT_MS) });

/** The pods of one state directory, as one process sees them. */
export class PodManager {
  readonly holds: PodHolds;
  readonly #handles = new Set<HeldPod>();
  readonly #endings = new Set<Promise<void>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #closing = false;

  constructor(
    readonly services: PodServices,
    readonly wake: Wake = new Wake(services.directories.state),
    life?: PodLife,
  ) {
    this.holds = new PodHolds(services, life, {
      onExit: (hold, exit) => this.#onExit(hold, exit),
      onContainersEnded: (hold) => this.#onContainersEnded(hold),
    });
  }

  async create(input: unknown, options: UserCallOptions): Promise<HeldPod> {
    const { defaults, templates } = this.services;
    const spec = parsePodSpec(input, (await templates?.defaultsFor(input, defaults)) ?? defaults);
    return this.holds.inTurn(spec.id, options, async () =>
      this.handle(await createAndBoot(this.services, this.holds, spec, options)),
    );
  }

  async open(id: string, options: UserCallOptions): Promise<HeldPod> {
    checkPodId(id);
    return withDeadline(`open pod ${id}`, options.timeoutMs ?? CALL_TIMEOUT_MS, options.signal, async (call) => {
      const { store, host } = this.services;
      const record = await store.read(id, call);
      const { state, failure } = await look(host, record);
      if ((!record.keep && !this.holds.get(id)) || state !== 'running') {
        const reason = failure === null ? '' : `: ${failure}`;
        const why = state === 'running' ? 'running for the process that created it' : `${state}${reason}`;
        throw new HyperplugError(
          state === 'running' ? 'POD_BUSY' : 'POD_NOT_RUNNING',
          `pod ${id}: expected a kept pod that runs, it is ${why}`,
        );
      }
      checkMakers(this.services, record);
      return this.holds.inTurn(id, call, async () => this.handle(await this.holds.obtain(id, call)));
    });
  }

  async list(options: UserCallOptions): Promise<PodStatus[]> {
    return withDeadline('list pods', options.timeoutMs ?? CALL_TIMEOUT_MS, options.signal, async (call) => {
      const { store, host } = this.services;
      const records = await store.list(call);
      return Promise.all(records.map(async (record) => podStatus(record, (await look(host, record)).state)));
    });
  }

  /** Every NIC on a network, of every pod. */
  async nicsInUse(options: UserCallOptions): Promise<NicInUse[]> {
    return withDeadline('list NICs', options.timeoutMs ?? CALL_TIMEOUT_MS, options.signal, async (call) => {
      const { store, backend, host } = this.services;
      // Those of rootless networks are in others than these, whatever their names. An earlier version did not say.
      const isHere = ({ session }: PodRecord) => session === undefined || (session ?? undefined) === host.session;
      const records = (await store.list(call)).filter(isHere);
      const states = await Promise.all(records.map(async (record) => (await look(host, record)).state));
      return records.flatMap((record, index) =>
        record.nics.flatMap(({ lease, host: made, ports, allow, state }): NicInUse[] => {
          if (!lease) return [];
          const { podId, network } = lease;
          const lives = states[index] === 'running' || states[index] === 'paused';
          const runs = lives && record.network === backend.name;
          const whole = state === 'ready' || state === 'changing';
          const attached = made && { record: made, lease, ports, ...(allow && { allow }) };
          return [{ podId, network, ...(runs && whole && attached && { attached }) }];
        }),
      );
    });
  }

  /** Everything that says it is ours, looked after. `networks` tells the backend the networks it has. */
  async gc(
    networks: (nics: readonly NicInUse[], call: CallOptions) => Promise<void>,
    host: GcHost,
    run: GcRun,
    options: UserCallOptions,
  ): Promise<GcReport> {
    return withDeadline('gc', options.timeoutMs ?? GC_TIMEOUT_MS, options.signal, async (call) => {
      // Ports are looked at pod by pod, under its lock: a repair by what records said a moment ago could bring back what
      // somebody has just withdrawn.
      const knowNetworks = (inCall: CallOptions) => networks([], inCall);
      try {
        return await collectGarbage(this.#gcServices(host, knowNetworks), run, call);
      } finally {
        await networks(await this.nicsInUse({ signal: call.signal }), call);
      }
    });
  }

  #gcServices(host: GcHost, knowNetworks: GcServices['knowNetworks']): GcServices {
    const { services } = this;
    return {
      pods: services,
      host,
      look: (record, locked = false) => podVerdict(services, record, locked || this.#unheld(record, host)),
      settle: (record, call) => settlePod(services, record, call),
      settleNics: (id, call) => this.#settleNics(id, call),
      knowNetworks,
    };
  }

  /** Whether nobody has the pod's lock, by what its file says. */
  #unheld({ id }: PodRecord, host: Pick<GcHost, 'lockHolder'>): boolean {
    return host.lockHolder(podDirectories(this.services.directories, id).lock) === undefined;
  }

  async #settleNics(id: string, call: CallOptions): Promise<void> {
    await using pod = await this.open(id, { signal: call.signal });
    await pod.settle(call);
  }

  /** Without `force` a pod that another process holds is left alone. */
  async remove(id: string, options: UserCallOptions & { readonly force?: boolean }): Promise<void> {
    checkPodId(id);
    await withDeadline(`remove pod ${id}`, options.timeoutMs ?? CALL_TIMEOUT_MS, options.signal, async (call) => {
      await this.services.store.read(id, call);
      await this.holds.inTurn(id, call, async () => {
        const hold = this.holds.get(id);
        if (hold) await this.#removeHeld(hold, call);
        else await this.#destroyLocked(await this.services.store.read(id, call), options.force ?? false, call);
      });
    });
  }

  /**
   * Removes what managers that died left behind: pods that were not to be kept, with or without a record, and kept ones caught
   * half made or half removed; kept ones that were being started or stopped, or whose VM has gone, are brought to their end.
   * Returns the ids of those removed, and what could not be.
   */
  async sweep(gcHost: GcHost, options: UserCallOptions): Promise<{ removed: string[]; errors: unknown[] }> {
    return withDeadline('sweep', options.timeoutMs ?? CALL_TIMEOUT_MS, options.signal, async (call) => {
      const { store, host } = this.services;
      const removed: string[] = [];
      const errors: unknown[] = [];
      const strays = await directoriesSeen(
        this.#gcServices(gcHost, async () => {}),
        call,
      );
      const records = await store.list(call);
      for (const record of records) {
        const { toSettle } = await look(host, record, this.#unheld(record, gcHost));
        const alive = await host.alive(record.manager);
        if (record.keep || (alive && isPassing(record)) ? !toSettle : alive) continue;
        try {
          if (await this.#settleLocked(record, call)) removed.push(record.id);
        } catch (error) {
          // Another process is at it.
          if (!hasCode(error, 'POD_BUSY', 'POD_NOT_FOUND')) errors.push(error);
        }
      }
      for (const { pod, why, action, error } of await strays.removeUnknown(records)) {
        if (action === 'removed' && pod !== undefined && !removed.includes(pod)) removed.push(pod);
        if (action === 'failed')
          errors.push(new HyperplugError('POD_CLEANUP_FAILED', `pod ${pod}: ${error?.message ?? why}`));
      }
      return { removed, errors };
    });
  }

  /** Ends what is held and not kept; lets go of the rest. Returns what failed. */
  async close(): Promise<unknown[]> {
    this.#closing = true;
    for (const timer of this.#timers) clearTimeout(timer);
    const handles = await Promise.allSettled([...this.#handles].map((pod) => pod.finish()));
    this.#handles.clear();
    const holds = await Promise.allSettled(
      this.holds.all().map((hold) => this.holds.inTurn(hold.id, {}, () => this.holds.letGo(hold))),
    );
    await Promise.allSettled(this.#endings);
    return [...handles, ...holds].flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  }

  handle(hold: PodHold): HeldPod {
    const pod = this.holds.handle(hold, (call) =>
      this.holds.inTurn(hold.id, call, () => this.#removeHandled(hold, call)),
    );
    this.#handles.add(pod);
    return pod;
  }

  /** By its handle: the pod may have ended, and even have been removed, since. */
  async #removeHandled(hold: PodHold, call: CallOptions): Promise<void> {
    if (this.holds.get(hold.id) === hold) return this.#removeHeld(hold, call);
    try {
      const record = await this.services.store.read(hold.id, call);
      if (record.createdAt === hold.table.record.createdAt) await this.#destroyLocked(record, false, call);
    } catch (error) {
      if (!hasCode(error, 'POD_NOT_FOUND')) throw error;
    }
  }

  /** By its record: that one knows what has come and gone since it was created. */
  async #removeHeld(hold: PodHold, call: CallOptions): Promise<void> {
    const { vm, table, lock } = hold;
    this.holds.forget(hold);
    try {
      // Should this fail, destroyPod() ends it by its record, and reports what cannot be ended.
      await vm.kill(call).catch(() => {});
      await destroyPod(this.services, table.record, call);
      await lock.release({ remove: true });
    } finally {
      await lock.release();
    }
  }

  /** A VM that ended by itself: what its pod held is given back, and its record says how it ended. */
  #onExit(hold: PodHold, exit: VmExit): void {
    this.#aside(hold.id, async () => {
      if (this.#closing || !this.holds.forget(hold)) return;
      try {
        await hold.vm.kill(deadline()).catch(() => {});
        const ending = endingOf(exit);
        const record = await finishPod(this.services, hold.table.record, ending, deadline());
        if (hold.table.record.keep) this.#restartLater(record, ending.failure === null, hold.kept);
      } finally {
        await hold.lock.release();
      }
    });
  }

  /** Nothing runs in it any more, and nothing will. */
  #onContainersEnded(hold: PodHold): void {
    this.#aside(hold.id, async () => {
      if (this.#closing || this.holds.get(hold.id) !== hold) return;
      await stopPod(this.services, this.holds, hold.id, POWER_OFF_GRACE_MS, deadline());
    });
  }

  /** By the pod's own policy, as long as this process is there. */
  #restartLater(record: PodRecord, succeeded: boolean, kept: boolean): void {
    const { id, finishedAt, startedAt, restarts: before } = record;
    if (this.#closing || !restarts(policyOf(record) ?? 'never', succeeded)) return;
    // Somebody else may have started, stopped or removed it, up to when we have its lock.
    const due = (now: PodRecord) =>
      !this.#closing && !now.stopped && now.finishedAt === finishedAt && now.createdAt === record.createdAt;
    const ranMs = Date.parse(finishedAt ?? '') - Date.parse(startedAt ?? '');
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        this.#aside(id, async () => {
          if (!due(await this.services.store.read(id, deadline()))) return;
          try {
            const hold = await startPod(this.services, this.holds, id, {}, { restarts: before + 1, due });
            if (hold) hold.kept = kept;
          } catch {
            const failed = await this.services.store.read(id, deadline());
            this.#restartLater({ ...failed, restarts: before + 1, startedAt: finishedAt }, false, kept);
          }
        });
      },
      restartDelayMs(before, ranMs),
    ).unref();
    this.#timers.add(timer);
  }

  /** Beside all calls, in the pod's turn. What fails is in its record, and whoever looks next tries again. */
  #aside(id: string, body: () => Promise<void>): void {
    const settled = this.holds.inTurn(id, {}, body).catch(() => {});
    this.#endings.add(settled);
    void settled.finally(() => this.#endings.delete(settled));
  }

  async #destroyLocked(record: PodRecord, force: boolean, call: CallOptions): Promise<void> {
    await this.#locked(record, `remove pod ${record.id}`, force, call, (now) => destroyPod(this.services, now, call));
  }

  /** Looks again, now that nobody else is at it. Whether its record went, too. */
  #settleLocked(record: PodRecord, call: CallOptions): Promise<boolean> {
    return this.#locked(record, `settle pod ${record.id}`, false, call, (now) => settlePod(this.services, now, call));
  }

  /** Resolves with whether its record is gone then, and the lock's file with it. */
  async #locked(
    record: PodRecord,
    purpose: string,
    force: boolean,
    call: CallOptions,
    body: (record: PodRecord) => Promise<unknown>,
  ): Promise<boolean> {
    const { host, directories, store } = this.services;
    const path = podDirectories(directories, record.id).lock;
    const lock = await lockPod(host, path, record.id, purpose, call.signal).catch((error) => {
      if (force && hasCode(error, 'POD_BUSY')) return undefined;
      throw error;
    });
    return underLock(lock, async () => {
      // Whoever held the lock before may have removed or changed it.
      const now = await store.read(record.id, call);
      if (now.createdAt !== record.createdAt) {
        throw new HyperplugError(
          'POD_NOT_FOUND',
          `pod ${record.id} is gone; another of its name was created meanwhile`,
        );
      }
      await body(now);
      const gone = (await store.find(record.id, call)) === 'none';
      await lock?.release({ remove: gone });
      return gone;
    });
  }
}
