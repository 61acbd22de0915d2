import { HyperplugError } from '../errors.js';
import type { PodDefaults, PodSpec } from '../pod/spec.js';
import { slotsNeeded } from './fit.js';
import { AUTOMATIC_PREFIX, shapeOf, type TemplateShape } from './manifest.js';
import type { StoredTemplate, TemplateStore } from './store.js';

/** What those that are made by themselves may take. */
export interface AutomaticLimits {
  readonly automaticCount: number;
  /** Of their memory, as configured: what they take on disk is less. */
  readonly automaticTotalMib: number;
}

/** `old`: one that is to be replaced, though it looks fresh. */
type Make = (
  name: string,
  shape: TemplateShape,
  old: StoredTemplate | undefined,
  signal: AbortSignal,
) => Promise<StoredTemplate>;

/** One that could not be made is not tried again for so long. */
const RETRY_AFTER_MS = 10 * 60_000;
const REMOVE_TIMEOUT_MS = 30_000;

/** `auto-256m-1c-3n` */
export const automaticName = ({ memoryMib, cpus, nicSlots }: TemplateShape): string =>
  `${AUTOMATIC_PREFIX}${memoryMib}m-${cpus}c-${nicSlots}n`;

/** Templates that are made in the background, one at a time, for pods that come later. */
export class AutomaticTemplates {
  readonly #failedAtMs = new Map<string, number>();
  readonly #under = new Set<string>();
  readonly #closing = new AbortController();
  #last: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: TemplateStore,
    private readonly limits: AutomaticLimits,
    private readonly make: Make,
    private readonly onTrouble: (error: unknown, what: string) => void,
  ) {}

  /** One that this pod would have fitted; with room for as many NICs as pods have that say nothing. */
  makeFor(spec: PodSpec, defaults: PodDefaults, maxSlots: number): void {
    const nicSlots = Math.min(Math.max(slotsNeeded(spec), defaults.nicSlots + 1), maxSlots);
    const { memoryMib, cpus } = spec;
    const shape = { memoryMib, cpus, nicSlots };
    this.#want(automaticName(shape), shape);
  }

  renew(template: StoredTemplate): void {
    if (template.automatic) this.#want(template.name, shapeOf(template), template);
  }

  #want(name: string, shape: TemplateShape, old?: StoredTemplate): void {
    const failedAtMs = this.#failedAtMs.get(name);
    const tooSoon = failedAtMs !== undefined && performance.now() - failedAtMs < RETRY_AFTER_MS;
    if (this.#closing.signal.aborted || this.#under.has(name) || tooSoon) return;
    if (shape.memoryMib > this.limits.automaticTotalMib || this.limits.automaticCount === 0) return;
    this.#under.add(name);
    this.#last = this.#last.then(async () => {
      try {
        if (this.#closing.signal.aborted) return;
        await this.#makeRoom(name, shape.memoryMib);
        await this.make(name, shape, old, this.#closing.signal);
        this.#failedAtMs.delete(name);
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        this.#failedAtMs.set(name, performance.now());
        this.onTrouble(error, `template ${name} could not be made`);
      } finally {
        this.#under.delete(name);
      }
    });
  }

  idle(): Promise<void> {
    return this.#last;
  }

  async close(): Promise<void> {
    this.#closing.abort(new HyperplugError('ABORTED', 'closing'));
    await this.#last;
  }

  /** Those go first that no pod was made from for longest. */
  async #makeRoom(name: string, memoryMib: number): Promise<void> {
    const { templates } = await this.store.list();
    const others = templates
      .filter((each) => each.automatic && each.name !== name)
      .sort((a, b) => b.usedAtMs - a.usedAtMs);
    const total = () => others.reduce((sum, each) => sum + each.memoryMib, memoryMib);
    while (others.length + 1 > this.limits.automaticCount || total() > this.limits.automaticTotalMib) {
      const oldest = others.pop();
      if (!oldest) return;
      await this.store.remove(oldest.name, { signal: AbortSignal.timeout(REMOVE_TIMEOUT_MS) });
    }
  }
}
