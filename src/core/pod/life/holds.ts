import { abortError, type CallOptions, throwIfAborted, type UserCallOptions } from '../../calls.js';
import { HyperplugError } from '../../errors.js';
import type { HeldLock } from '../../host-services.js';
import type { VmExit } from '../../hypervisor.js';
import { Turns } from '../../turns.js';
import { Vm } from '../../vm/vm.js';
import { HeldPod } from '../held-pod.js';
import { lockPod } from '../lock.js';
import { NicTable } from '../nic-table.js';
import type { PodLife } from '../pod-backend.js';
import { PodNetwork } from '../pod-network.js';
import { consoleOf, type PodRecord } from '../record.js';
import { type PodServices, podDirectories } from '../services.js';
import { ContainerSupervisor } from './supervisor.js';

/** A pod whose VM and agent this process talks with, and whose lock it has. Its handles share it. */
export interface PodHold {
  readonly id: string;
  readonly vm: Vm;
  readonly table: NicTable;
  readonly network: PodNetwork;
  readonly lock: HeldLock;
  /** Of its containers, where it has any. */
  readonly supervisor: ContainerSupervisor | undefined;
  /** Handles that are open. */
  users: number;
  /** Held beyond its handles, until it ends or the manager is closed. */
  kept: boolean;
}

/** Commands in one pod take turns: the channels of its agent take one client. */
const TURN_TIMEOUT_MS = 20_000;
const LAST_WORDS_MS = 5_000;

/** The pods that this process holds. What begins, ends or changes a hold goes in the turn of its pod. */
export class PodHolds {
  readonly #holds = new Map<string, PodHold>();
  readonly #turns = new Turns();

  constructor(
    private readonly services: PodServices,
    private readonly life: PodLife | undefined,
    private readonly watch: {
      readonly onExit: (hold: PodHold, exit: VmExit) => void;
      readonly onContainersEnded: (hold: PodHold) => void;
    },
  ) {}

  get(id: string): PodHold | undefined {
    return this.#holds.get(id);
  }

  all(): readonly PodHold[] {
    return [...this.#holds.values()];
  }

  /** A call that is aborted before its turn has come does nothing; later it is the body that hears the signal. */
  inTurn<T>(id: string, { signal }: UserCallOptions, body: () => Promise<T>): Promise<T> {
    const what = `turn of pod ${id}`;
    return new Promise<T>((resolve, reject) => {
      const onAbort = () => signal && reject(abortError(signal, what));
      signal?.addEventListener('abort', onAbort, { once: true });
      const turn = this.#turns.inTurn(id, async () => {
        signal?.removeEventListener('abort', onAbort);
        if (signal) throwIfAborted(signal, what);
        return body();
      });
      turn.then(resolve, reject);
    });
  }

  add(id: string, { vm, table }: { vm: Vm; table: NicTable }, lock: HeldLock): PodHold {
    const network = new PodNetwork({ services: this.services, vm, table });
    const supervisor =
      table.record.containers.length === 0
        ? undefined
        : new ContainerSupervisor(vm, table, () => this.watch.onContainersEnded(hold));
    const hold: PodHold = { id, vm, table, network, lock, supervisor, users: 0, kept: false };
    this.#holds.set(id, hold);
    void vm.hypervisor.exited.then((exit) => this.watch.onExit(hold, exit));
    return hold;
  }

  /** The hold that is there, or a new one on a VM that runs. In the pod's turn. @throws POD_NOT_RUNNING, POD_BUSY. */
  async obtain(id: string, call: CallOptions): Promise<PodHold> {
    const existing = this.#holds.get(id);
    if (existing) return existing;
    const { store, host, driver, agent, directories } = this.services;
    const path = podDirectories(directories, id).lock;
    const lock = await lockPod(host, path, id, `pod ${id}`, call.signal, TURN_TIMEOUT_MS);
    try {
      // Whoever held the lock before may have changed it.
      const record = await store.read(id, call);
      if (record.state !== 'running' || !record.vm) throw notRunning(record.id, record.state);
      const vm = await Vm.adopt({ driver, agent }, record.vm, consoleOf(record), call);
      const hold = this.add(id, { vm, table: new NicTable(store, record) }, lock);
      // What it says of its containers is of when somebody last looked.
      await hold.supervisor?.sync(call).catch(() => {});
      return hold;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** A handle for a user. `remove` and the last `letGo` go in the pod's turn by themselves. */
  handle(hold: PodHold, remove: (call: CallOptions) => Promise<void>): HeldPod {
    hold.users += 1;
    const { id, vm, network, table } = hold;
    const { keep, consoleLogPath } = table.record;
    return new HeldPod({
      id,
      vm,
      network,
      table,
      consoleLogPath,
      keep,
      ...(this.life && { life: this.life }),
      remove,
      letGo: () =>
        this.inTurn(id, {}, async () => {
          hold.users -= 1;
          await this.letGoUnused(hold);
        }),
    });
  }

  /** The VM runs on. In the pod's turn. Idempotent. */
  async letGo(hold: PodHold): Promise<void> {
    if (!this.forget(hold)) return;
    await hold.supervisor?.stop({ signal: AbortSignal.timeout(LAST_WORDS_MS) });
    await hold.vm.release();
    await hold.lock.release();
  }

  /** Where nobody uses it; but the end of its last container is the pod's, which comes next. */
  async letGoUnused(hold: PodHold): Promise<void> {
    if (hold.users > 0 || hold.kept || hold.supervisor?.allEnded) return;
    await this.letGo(hold);
  }

  /** Nothing of it is done but that it is not held any more; the lock is the caller's now. False: it was not held. */
  forget(hold: PodHold): boolean {
    if (this.#holds.get(hold.id) !== hold) return false;
    void hold.supervisor?.stop();
    return this.#holds.delete(hold.id);
  }
}

export function notRunning(id: string, state: PodRecord['state']): HyperplugError {
  const hint = state === 'paused' ? '; resume it first' : '';
  return new HyperplugError('POD_NOT_RUNNING', `pod ${id}: expected a pod that runs, it is ${state}${hint}`, {
    details: { field: 'pod', received: id, state },
  });
}
