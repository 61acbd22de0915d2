import { type CallOptions, type UserCallOptions, withDeadline } from '../calls.js';
import { HyperplugError, hasCode } from '../errors.js';
import { collectGarbage, type GcRun } from '../gc/gc.js';
import { podVerdict, settlePod } from '../gc/pod-verdict.js';
import type { GcHost, GcServices } from '../gc/services.js';
import type { GcReport } from '../gc/types.js';
import type { NicInUse } from '../networks.js';
import { Vm } from '../vm/vm.js';
import { createPod, removeHeld } from './create.js';
import { destroyPod } from './destroy.js';
import { HeldPod } from './held-pod.js';
import { lockPod } from './lock.js';
import { NicTable } from './nic-table.js';
import { podNic } from './nics.js';
import { PodNetwork } from './pod-network.js';
import type { PodRecord } from './record.js';
import { type PodServices, podDirectories } from './services.js';
import { checkPodId, parsePodSpec } from './spec.js';
import type { PodState, PodStatus } from './types.js';

const CALL_TIMEOUT_MS = 60_000;
const GC_TIMEOUT_MS = 10 * 60_000;
/** Commands in one pod take turns: the channels of its agent take one client. */
const TURN_TIMEOUT_MS = 20_000;

/** The pods of one state directory, as one process sees them. */
export class PodManager {
  readonly #held = new Set<HeldPod>();

  constructor(private readonly services: PodServices) {}

  async create(input: unknown, options: UserCallOptions): Promise<HeldPod> {
    const spec = parsePodSpec(input, this.services.defaults);
    return this.#hold(await createPod(this.services, spec, options));
  }

  async open(id: string, options: UserCallOptions): Promise<HeldPod> {
    checkPodId(id);
    return withDeadline(`open pod ${id}`, options.timeoutMs ?? CALL_TIMEOUT_MS, options.signal, async (call) => {
      const { store, host, driver, agent, directories } = this.services;
      const record = await store.read(id, call);
      const state = await this.#state(record);
      if (!record.keep || state !== 'running' || !record.vm) {
        const why = state === 'running' ? 'running for the process that created it' : state;
        throw new HyperplugError(
          state === 'running' ? 'POD_BUSY' : 'POD_NOT_RUNNING',
          `pod ${id}: expected a kept pod that runs, it is ${why}`,
        );
      }
      const lock = await lockPod(
        host,
        podDirectories(directories, id).lock,
        id,
        `pod ${id}`,
        call.signal,
        TURN_TIMEOUT_MS,
      );
      try {
        // Whoever held the lock before may have changed it.
        const current = await store.read(id, call);
        if (current.state !== 'running' || !current.vm) {
          throw new HyperplugError(
            'POD_NOT_RUNNING',
            `pod ${id}: expected a kept pod that runs, it is ${current.state}`,
          );
        }
        const vm = await Vm.adopt({ driver, agent }, current.vm, current.consoleLogPath, call);
        const table = new NicTable(store, current);
        return this.#hold(
          new HeldPod({
            id,
            vm,
            network: new PodNetwork({ services: this.services, vm, table }),
            consoleLogPath: current.consoleLogPath,
            keep: true,
            remove: (removal) => removeHeld(this.services, vm, table, lock, removal),
            letGo: () => lock.release(),
          }),
        );
      } catch (error) {
        await lock.release();
        throw error;
      }
    });
  }

  async list(options: UserCallOptions): Promise<PodStatus[]> {
    return withDeadline('list pods', options.timeoutMs ?? CALL_TIMEOUT_MS, options.signal, async (call) => {
      const records = await this.services.store.list(call);
      return Promise.all(records.map(async (record) => status(record, await this.#state(record))));
    });
  }

  /** Every NIC on a network, of every pod. */
  async nicsInUse(options: UserCallOptions): Promise<NicInUse[]> {
    return withDeadline('list NICs', options.timeoutMs ?? CALL_TIMEOUT_MS, options.signal, async (call) => {
      const { store, backend } = this.services;
      const records = await store.list(call);
      const states = await Promise.all(records.map((record) => this.#state(record)));
      return records.flatMap((record, index) =>
        record.nics.flatMap(({ lease, host, ports, state }): NicInUse[] => {
          if (!lease) return [];
          const { podId, network } = lease;
          const runs = states[index] === 'running' && record.network === backend.name;
          const whole = state === 'ready' || state === 'changing';
          return [{ podId, network, ...(runs && whole && host && { attached: { record: host, lease, ports } }) }];
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
    const { services } = this;
    return withDeadline('gc', options.timeoutMs ?? GC_TIMEOUT_MS, options.signal, (call) => {
      const parts: GcServices = {
        pods: services,
        host,
        look: (record) => podVerdict(services, record),
        settle: (record, inCall) => settlePod(services, record, inCall),
        settleNics: (id, inCall) => this.#settleNics(id, inCall),
        knowNetworks: async (inCall) => networks(await this.nicsInUse({ signal: inCall.signal }), inCall),
      };
      return collectGarbage(parts, run, call);
    });
  }

  async #settleNics(id: string, call: CallOptions): Promise<void> {
    await using pod = await this.open(id, { signal: call.signal });
    await pod.settle(call);
  }

  /** Without `force` a pod that another process holds is left alone. */
  async remove(id: string, options: UserCallOptions & { readonly force?: boolean }): Promise<void> {
    checkPodId(id);
    await withDeadline(`remove pod ${id}`, options.timeoutMs ?? CALL_TIMEOUT_MS, options.signal, async (call) => {
      const record = await this.services.store.read(id, call);
      await this.#destroyLocked(record, options.force ?? false, call);
    });
  }

  /**
   * Removes what managers that died left behind: pods that were not to be kept, and kept ones caught half made or half
   * removed. Returns their ids, and what could not be removed.
   */
  async sweep(options: UserCallOptions): Promise<{ removed: string[]; errors: unknown[] }> {
    return withDeadline('sweep', options.timeoutMs ?? CALL_TIMEOUT_MS, options.signal, async (call) => {
      const removed: string[] = [];
      const errors: unknown[] = [];
      for (const record of await this.services.store.list(call)) {
        if (record.keep && record.state === 'running') continue;
        if (await this.services.host.alive(record.manager)) continue;
        try {
          await this.#destroyLocked(record, false, call);
          removed.push(record.id);
        } catch (error) {
          // Another process is at it.
          if (!hasCode(error, 'POD_BUSY', 'POD_NOT_FOUND')) errors.push(error);
        }
      }
      return { removed, errors };
    });
  }

  /** Ends what is held and not kept; lets go of the rest. Returns what failed. */
  async close(): Promise<unknown[]> {
    const settled = await Promise.allSettled([...this.#held].map((pod) => pod.finish()));
    this.#held.clear();
    return settled.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  }

  #hold(pod: HeldPod): HeldPod {
    this.#held.add(pod);
    return pod;
  }

  async #destroyLocked(record: PodRecord, force: boolean, call: CallOptions): Promise<void> {
    const { host, directories, store } = this.services;
    const path = podDirectories(directories, record.id).lock;
    const lock = await lockPod(host, path, record.id, `remove pod ${record.id}`, call.signal).catch((error) => {
      if (force && hasCode(error, 'POD_BUSY')) return undefined;
      throw error;
    });
    try {
      // Whoever held the lock before may have removed or changed it.
      const now = await store.read(record.id, call);
      if (now.createdAt !== record.createdAt) {
        throw new HyperplugError(
          'POD_NOT_FOUND',
          `pod ${record.id} is gone; another of its name was created meanwhile`,
        );
      }
      await destroyPod(this.services, now, call);
      await lock?.release({ remove: true });
    } finally {
      await lock?.release();
    }
  }

  async #state(record: PodRecord): Promise<PodState> {
    const { host } = this.services;
    if (record.state !== 'running') return (await host.alive(record.manager)) ? record.state : 'exited';
    return record.vm && (await host.alive(record.vm.process)) ? 'running' : 'exited';
  }
}

function status(record: PodRecord, state: PodState): PodStatus {
  const { id, createdAt, hypervisor, network, cpus, memoryMib, keep, labels, consoleLogPath } = record;
  const nics = record.nics.map((nic) => podNic(nic));
  return {
    id,
    state,
    createdAt,
    hypervisor,
    network,
    cpus,
    memoryMib,
    keep,
    labels,
    consoleLogPath,
    pid: state === 'running' && record.vm ? record.vm.process.pid : null,
    addresses: nics
      .filter(({ kind }) => kind === 'network')
      .flatMap((nic) => nic.addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`)),
    ports: nics.flatMap((nic) => nic.ports),
    nics,
    routes: record.routes.map((route) => ({ ...route, origin: 'pod' })),
  };
}
