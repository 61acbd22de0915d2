import { type CallOptions, withDeadline } from '../../calls.js';
import type { ContainerExit } from '../../container.js';
import { isHyperplugError } from '../../errors.js';
import { Turns } from '../../turns.js';
import type { Vm } from '../../vm/vm.js';
import type { NicTable } from '../nic-table.js';
import type { ContainerRecord, PodRecord } from '../record.js';
import { completeLog, type LogSpec } from '../spec-parts/log.js';
import { collectLog, containerLogDirectory } from './container-logs.js';

const CALL_TIMEOUT_MS = 20_000;
const LOG_INTERVAL_MS = 1_000;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 60_000;
/** One that ran this long is given its first delay again. */
const STEADY_MS = 10_000;

/** How long to wait before restart number `restarts` (from 0 on) of what ran for `ranMs`. */
export function restartDelayMs(restarts: number, ranMs: number): number {
  return ranMs >= STEADY_MS ? FIRST_DELAY_MS : Math.min(FIRST_DELAY_MS * 2 ** Math.min(restarts, 20), LONGEST_DELAY_MS);
}

export const restarts = (policy: ContainerRecord['restartPolicy'], succeeded: boolean): boolean =>
  policy === 'always' || (policy === 'onFailure' && !succeeded);

/**
 * Looks after the containers of a pod that this process holds: their ends are recorded and told, they are restarted by
 * their policies, and their output is kept. When all have ended for good, the pod has.
 */
export class ContainerSupervisor {
  readonly #off: () => void;
  readonly #turns = new Turns();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #log: LogSpec;
  #polling: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(
    private readonly vm: Vm,
    private readonly table: NicTable,
    private readonly onAllEnded: () => void,
  ) {
    this.#log = logOf(table.record);
    this.#off = vm.session.onContainerExit((exit) => {
      if (!this.#stopped) void this.#guarded(exit.container, (call) => this.#ended(exit, call));
    });
    this.#poll();
  }

  /** What ended, or wrote, while nobody was here. */
  async sync(call: CallOptions): Promise<void> {
    const containers = await this.vm.session.listContainers(call);
    for (const { id, state, exitCode = 255 } of containers) {
      const record = this.#find(id);
      if (state === 'exited' && record?.state === 'running') {
        await this.#turns.inTurn(id, () => this.#ended({ container: id, exitCode }, call));
      }
    }
    for (const { id, state, restartPolicy, exitCode } of this.table.record.containers) {
      if (state !== 'exited' || !restarts(restartPolicy, exitCode === 0) || this.#timers.has(id)) continue;
      // It was due when whoever would have done it let go, or died.
      await this.#turns.inTurn(id, () => this.#restart(id, call));
    }
    this.#checkAllEnded();
  }

  /** Of one container, or of all: what they have written so far is in their files afterwards. */
  async collect(call: CallOptions, id?: string): Promise<void> {
    for (const container of this.table.record.containers) {
      if (container.process && container.startedAt && (id === undefined || id === container.id)) {
        await this.#turns.inTurn(`log ${container.id}`, () => this.#collectOne(container.id, call));
      }
    }
  }

  /** Nothing is restarted from now on; what was written is kept first, as far as the guest still answers. */
  async stop(call?: CallOptions): Promise<void> {
    this.#stopped = true;
    this.#off();
    clearTimeout(this.#polling);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    if (call) await this.collect(call).catch(() => {});
  }

  #collectOne(id: string, call: CallOptions): Promise<void> {
    const { dataDir, startedAt, createdAt } = this.table.record;
    const generation = Date.parse(startedAt ?? createdAt);
    return collectLog(this.vm.session, id, containerLogDirectory(dataDir, id), generation, this.#log, call);
  }

  async #ended({ container: id, exitCode }: ContainerExit, call: CallOptions): Promise<void> {
    const before = this.#find(id);
    if (before?.state !== 'running') return;
    await this.#turns.inTurn(`log ${id}`, () => this.#collectOne(id, call)).catch(() => {});
    const finishedAt = new Date().toISOString();
    await this.#set(id, { state: 'exited', exitCode, finishedAt }, call, 'container-exited', { exitCode });
    if (this.#stopped) return;
    if (restarts(before.restartPolicy, exitCode === 0)) {
      const ranMs = Date.now() - Date.parse(before.startedAt ?? finishedAt);
      this.#restartLater(id, restartDelayMs(before.restarts, ranMs));
    } else this.#checkAllEnded();
  }

  #restartLater(id: string, delayMs: number): void {
    if (this.#stopped || this.#timers.has(id)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(id);
      if (!this.#stopped) void this.#guarded(id, (call) => this.#restart(id, call));
    }, delayMs);
    this.#timers.set(id, timer.unref());
  }

  async #restart(id: string, call: CallOptions): Promise<void> {
    const container = this.#find(id);
    if (container?.state !== 'exited' || !container.process || this.table.record.state !== 'running') return;
    const startedAt = new Date().toISOString();
    const again = { restarts: container.restarts + 1, startedAt };
    // The record first: a manager that dies now finds one that runs by record, and the guest says what is.
    await this.#set(id, { ...again, state: 'running', exitCode: null, finishedAt: null }, call, 'container-started', {
      restarts: again.restarts,
    });
    try {
      await this.vm.session.startContainer(id, container.process, call);
    } catch (error) {
      const finishedAt = new Date().toISOString();
      const failure = error instanceof Error ? error.message : String(error);
      await this.#set(id, { state: 'exited', exitCode: 127, finishedAt }, call, 'container-exited', {
        exitCode: 127,
        failure,
      });
      if (isHyperplugError(error) && error.code === 'AGENT_EXEC_FAILED')
        this.#restartLater(id, restartDelayMs(again.restarts, 0));
    }
  }

  /** Nothing runs any more, and nothing will. */
  get allEnded(): boolean {
    const mains = this.table.record.containers.filter(({ process }) => process !== null);
    return mains.length > 0 && mains.every(({ id, state }) => state === 'exited' && !this.#timers.has(id));
  }

  #checkAllEnded(): void {
    if (this.allEnded && !this.#stopped) this.onAllEnded();
  }

  #find(id: string): ContainerRecord | undefined {
    return this.table.record.containers.find((each) => each.id === id);
  }

  #set(
    id: string,
    changes: Partial<ContainerRecord>,
    call: CallOptions,
    type: 'container-started' | 'container-exited',
    data: Readonly<Record<string, string | number>>,
  ): Promise<void> {
    return this.table.update(
      (record) => ({
        ...record,
        containers: record.containers.map((each) => (each.id === id ? { ...each, ...changes } : each)),
      }),
      call,
      [{ pod: this.table.record.id, type, data: { container: id, ...data } }],
    );
  }

  /** What fails here is seen again by whoever looks next: the guest knows its containers. */
  async #guarded(id: string, body: (call: CallOptions) => Promise<void>): Promise<void> {
    await this.#turns
      .inTurn(id, () => withDeadline(`container ${id}`, CALL_TIMEOUT_MS, undefined, body))
      .catch(() => {});
  }

  #poll(): void {
    this.#polling = setTimeout(async () => {
      await withDeadline('logs', CALL_TIMEOUT_MS, undefined, (call) => this.collect(call)).catch(() => {});
      if (!this.#stopped) this.#poll();
    }, LOG_INTERVAL_MS).unref();
  }
}

function logOf({ spec }: PodRecord): LogSpec {
  const log = (spec as { log?: Parameters<typeof completeLog>[0] } | null)?.log;
  return completeLog(log);
}
