import { raceSignal, type UserCallOptions, withDeadline } from '../calls.js';
import { fieldError, HyperplugError } from '../errors.js';
import type { PodSpec } from '../pod/spec.js';
import type { BootWay } from './choice.js';
import type { TemplateEngine, TemplateServices } from './engine.js';
import { misfit } from './fit.js';
import { AUTO } from './manifest.js';
import { endClone, makeClone, type PoolClone } from './pool-clone.js';
import { renewGuest } from './renew.js';
import type { Pool, PoolStatus } from './types.js';

const CALL_TIMEOUT_MS = 60_000;
const CLAIM_TIMEOUT_MS = 5_000;
/** What is done first in a pod is not held up by the making of the next clone. */
const REFILL_DELAY_MS = 500;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
/** How often clones are compared with what a new one would be. */
const LOOK_EVERY_MS = 60_000;
export const MAX_POOL_SIZE = 256;

export interface PoolOptions {
  readonly size: number;
  readonly totalMib: number;
  /** undefined: one that is made by itself, for pods that say nothing. */
  readonly template: string | undefined;
  readonly onTrouble: (error: unknown, what: string) => void;
}

interface Member {
  readonly clone: PoolClone;
  readonly since: string;
}

/** Ready clones of one process. They are made one at a time, when no pod is being started. */
export class PoolEngine implements Pool {
  #size = 0;
  #ready: Member[] = [];
  #making = 0;
  #claims = 0;
  #misses = 0;
  #failure: string | null = null;
  #retryMs = FIRST_RETRY_MS;
  #filling: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #dueMs = 0;
  #stop = new AbortController();
  readonly #ending = new Set<Promise<unknown>>();
  #closed = false;

  constructor(
    private readonly services: TemplateServices,
    private readonly templates: TemplateEngine,
    private readonly options: PoolOptions,
  ) {}

  async status(_options: UserCallOptions = {}): Promise<PoolStatus> {
    const ready = this.#ready.map(({ clone: { id, vm, template }, since }) => {
      const { pid } = vm.hypervisor.record().process;
      return { id, pid, template: template.name, memoryMib: template.memoryMib, since };
    });
    const { totalMib } = this.options;
    const [claims, misses, failure] = [this.#claims, this.#misses, this.#failure];
    return { size: this.#size, ready, making: this.#making, totalMib, claims, misses, failure };
  }

  async fill({ size = this.options.size, signal, timeoutMs }: UserCallOptions & { readonly size?: number } = {}) {
    if (!Number.isInteger(size) || size < 0 || size > MAX_POOL_SIZE) {
      throw fieldError('TEMPLATE_INVALID', 'size', `0 to ${MAX_POOL_SIZE} clones`, size);
    }
    if (this.#closed) throw new TypeError('hyperplug: closed already');
    if (size > 0) this.templates.mustBeSupported();
    this.#size = size;
    for (const { clone } of this.#ready.splice(size)) this.#end(clone);
    this.#retryMs = FIRST_RETRY_MS;
    const filled = this.#refill();
    const wait = (limit: AbortSignal | undefined) => (limit ? raceSignal(filled, limit, 'fill the pool') : filled);
    if (timeoutMs === undefined) await wait(signal);
    else await withDeadline('fill the pool', timeoutMs, signal, (call) => wait(call.signal));
    return this.status();
  }

  drain({ signal, timeoutMs = CALL_TIMEOUT_MS }: UserCallOptions = {}): Promise<PoolStatus> {
    return withDeadline('drain the pool', timeoutMs, signal, async (call) => {
      await raceSignal(this.#empty(), call.signal, 'drain the pool');
      return this.status();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#empty();
  }

  /**
   * One that answers, and is a machine of its own by now; undefined: none that this pod fits is ready. It is the caller's:
   * to give back, or to hand over to a pod.
   */
  async claim(spec: PodSpec, signal: AbortSignal | undefined): Promise<BootWay | undefined> {
    if (this.#size === 0 || !this.#wants(spec)) return undefined;
    for (;;) {
      const at = this.#ready.findIndex(({ clone }) => fits(spec, clone));
      if (at === -1) {
        this.#misses += 1;
        return undefined;
      }
      const [{ clone }] = this.#ready.splice(at, 1) as [Member];
      try {
        await withDeadline('claim of a clone', CLAIM_TIMEOUT_MS, signal, (call) => renewGuest(clone.vm, call));
      } catch (error) {
        this.#end(clone);
        this.#refillSoon(0);
        if (signal?.aborted) throw error;
        this.options.onTrouble(error, `clone ${clone.id} of the pool did not answer`);
        continue;
      }
      this.#claims += 1;
      const { image, template } = clone;
      return { image, template, clone, afterwards: () => this.#refillSoon(REFILL_DELAY_MS) };
    }
  }

  /** Of one that was claimed and that nothing was done with. */
  giveBack(clone: PoolClone): void {
    this.#claims -= 1;
    this.#add(clone);
  }

  /** Of one that was claimed, where its pod came to nothing. */
  discard(clone: PoolClone): Promise<unknown[]> {
    return this.#end(clone);
  }

  #wants({ template }: PodSpec): boolean {
    return template !== 'none';
  }

  #add(clone: PoolClone): void {
    if (this.#ready.length >= this.#size || clone.vm.hypervisor.state !== 'running') {
      this.#end(clone);
      return;
    }
    this.#ready.push({ clone, since: new Date().toISOString() });
  }

  /** One that died while it waited is replaced. */
  #watch(clone: PoolClone): void {
    void clone.vm.hypervisor.exited.then(() => {
      const before = this.#ready.length;
      this.#ready = this.#ready.filter((each) => each.clone !== clone);
      if (this.#ready.length === before) return;
      this.#end(clone);
      this.#refillSoon(0);
    });
  }

  #end(clone: PoolClone): Promise<unknown[]> {
    const ended = endClone(clone).then((errors) => {
      for (const error of errors) this.options.onTrouble(error, `clone ${clone.id} of the pool could not be ended`);
      return errors;
    });
    this.#ending.add(ended);
    void ended.finally(() => this.#ending.delete(ended));
    return ended;
  }

  async #empty(): Promise<void> {
    this.#size = 0;
    this.#failure = null;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#stop.abort(new HyperplugError('ABORTED', 'the pool is drained'));
    await this.#filling?.catch(() => {});
    this.#stop = new AbortController();
    for (const { clone } of this.#ready.splice(0)) this.#end(clone);
    await Promise.all(this.#ending);
  }

  /** Not later than somebody else has asked for. */
  #refillSoon(delayMs: number): void {
    if (this.#closed || this.#size === 0) return;
    const dueMs = performance.now() + delayMs;
    if (this.#timer && this.#dueMs <= dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#refill().catch(() => {});
    }, delayMs).unref();
  }

  /** One filling at a time, whoever asks. */
  #refill(): Promise<void> {
    this.#filling ??= this.#fillUp().finally(() => {
      this.#filling = undefined;
    });
    return this.#filling;
  }

  async #fillUp(): Promise<void> {
    const { signal } = this.#stop;
    try {
      if (this.#size > 0) await this.#dropStale(signal);
      while (this.#ready.length < this.#size && !signal.aborted) {
        const { template, image } = await this.templates.ready(this.options.template, signal);
        if ((this.#ready.length + 1) * template.memoryMib > this.options.totalMib) break;
        this.#making = 1;
        const clone = await withDeadline('clone for the pool', this.services.bootTimeoutMs, signal, (call) =>
          makeClone(this.services, this.templates.store, template, image, call),
        );
        this.#watch(clone);
        this.#making = 0;
        this.#add(clone);
      }
      this.#failure = null;
      this.#retryMs = FIRST_RETRY_MS;
      this.#refillSoon(LOOK_EVERY_MS);
    } catch (error) {
      if (signal.aborted) return;
      this.#failure = error instanceof Error ? error.message : String(error);
      this.options.onTrouble(error, 'the pool could not be filled');
      this.#refillSoon(this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
      throw error;
    } finally {
      this.#making = 0;
    }
  }

  /** Those that a new one would differ from: of another hypervisor, kernel or agent. */
  async #dropStale(signal: AbortSignal): Promise<void> {
    if (this.#ready.length === 0) return;
    const { template } = await this.templates.ready(this.options.template, signal);
    const stale = this.#ready.filter(({ clone }) => clone.template.createdAt !== template.createdAt);
    this.#ready = this.#ready.filter((each) => !stale.includes(each));
    for (const { clone } of stale) this.#end(clone);
  }
}

const fits = (spec: PodSpec, { template, vm }: PoolClone): boolean =>
  (spec.template === undefined || spec.template === AUTO || spec.template === template.name) &&
  misfit(spec, template.name, template) === undefined &&
  vm.hypervisor.state === 'running';
