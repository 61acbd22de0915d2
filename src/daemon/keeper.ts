import { raceSignal, type UserCallOptions, withDeadline } from '../core/calls.js';
import { HyperplugError, hasCode } from '../core/errors.js';
import type { PluginLogger } from '../core/plugin.js';
import type { Hyperplug, Pod, PodStatus } from '../core/pod/types.js';

const OPEN_TIMEOUT_MS = 60_000;
/** Pods that other processes make and let go of are found by looking; our own come to us. */
const LOOK_EVERY_MS = 10_000;

/** One that is held here: by every client of the daemon at once. */
export interface KeptPod {
  readonly pod: Pod;
  readonly keep: boolean;
}

/** The pods that this process holds, once each, whoever asks for them. */
export class PodKeeper {
  readonly #held = new Map<string, Promise<KeptPod>>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #closed = false;

  constructor(
    private readonly hyperplug: Pick<Hyperplug, 'openPod' | 'listPods'>,
    private readonly logger: PluginLogger,
  ) {}

  get ids(): readonly string[] {
    return [...this.#held.keys()];
  }

  /** Held already, or taken hold of now. @throws POD_NOT_FOUND, POD_NOT_RUNNING, POD_BUSY another process has it. */
  async get(id: string, options: UserCallOptions): Promise<KeptPod> {
    const held = this.#held.get(id) ?? this.#open(id);
    return withDeadline(`open pod ${id}`, options.timeoutMs ?? OPEN_TIMEOUT_MS, options.signal, (call) =>
      raceSignal(held, call.signal, `open pod ${id}`),
    );
  }

  /** One that was created here. */
  add(pod: Pod, keep: boolean): KeptPod {
    const kept = { pod, keep };
    this.#remember(pod.id, Promise.resolve(kept));
    return kept;
  }

  /** Held, or undefined. */
  async peek(id: string): Promise<KeptPod | undefined> {
    return this.#held.get(id)?.catch(() => undefined);
  }

  /** It is not ours any more: removed, stopped, or its VM has ended. */
  forget(id: string): void {
    this.#held.delete(id);
  }

  /** Takes hold of every kept pod that runs; what cannot be held is told, and looked at again later. */
  async adopt(): Promise<{ readonly adopted: string[]; readonly failed: string[] }> {
    const pods = await this.hyperplug.listPods();
    const wanted = pods.filter((pod) => pod.keep && runs(pod) && !this.#held.has(pod.id));
    const outcomes = await Promise.all(
      wanted.map(async ({ id }) => {
        try {
          await this.get(id, {});
          return { id, error: undefined };
        } catch (error) {
          return { id, error };
        }
      }),
    );
    const failed = outcomes.filter(({ error }) => error !== undefined);
    for (const { id, error } of failed) {
      // A command that is at it will be done; the next look finds it.
      if (hasCode(error, 'POD_BUSY', 'POD_NOT_FOUND', 'POD_NOT_RUNNING')) continue;
      this.logger.warn({ pod: id, err: error }, 'a running pod could not be taken hold of');
    }
    const adopted = outcomes.filter(({ error }) => error === undefined).map(({ id }) => id);
    if (adopted.length > 0) this.logger.info({ pods: adopted }, 'took hold of running pods');
    return { adopted, failed: failed.map(({ id }) => id) };
  }

  /** Looks now and then for pods that other processes have let go of. */
  watch(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#looking = this.adopt()
        .then(
          () => {},
          (error: unknown) => this.logger.warn({ err: error }, 'running pods could not be looked for'),
        )
        .finally(() => this.watch());
    }, LOOK_EVERY_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  #open(id: string): Promise<KeptPod> {
    if (this.#closed) throw new HyperplugError('DAEMON_STOPPING', 'the daemon is ending');
    // Not by the first caller's signal: others wait for it as well.
    const opening = this.hyperplug.openPod(id, { timeoutMs: OPEN_TIMEOUT_MS }).then((pod) => ({ pod, keep: true }));
    this.#remember(id, opening);
    return opening;
  }

  #remember(id: string, held: Promise<KeptPod>): void {
    this.#held.set(id, held);
    const drop = () => {
      if (this.#held.get(id) === held) this.#held.delete(id);
    };
    held.then(({ pod }) => pod.exited.then(drop, drop), drop);
  }
}

const runs = ({ state }: PodStatus) => state === 'running' || (state as string) === 'paused';
