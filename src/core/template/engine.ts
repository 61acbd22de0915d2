import { type CallOptions, type UserCallOptions, withDeadline } from '../calls.js';
import { HyperplugError, hasCode } from '../errors.js';
import type { GuestImage } from '../guest-image.js';
import type { PodDefaults, PodSpec } from '../pod/spec.js';
import { type AutomaticLimits, AutomaticTemplates, automaticName } from './automatic.js';
import type { BootWay, PodTemplates } from './choice.js';
import { misfit, mustFit, storageMisfit } from './fit.js';
import { bootAndSave, type MakerServices } from './make.js';
import { AUTO, isTemplateName, NO_TEMPLATE, shapeOf, type TemplateShape } from './manifest.js';
import { checkRequest } from './request.js';
import { brokenStatus, staleness, statusOf } from './stale.js';
import { notFound, type StoredTemplate, type TemplateStore } from './store.js';
import type { TemplateStatus } from './types.js';

const CALL_TIMEOUT_MS = 60_000;
/** A template's making: its boot, that of the clone that is tried, and the time to write its memory. */
const BOOTS = 3;

export interface TemplateServices extends MakerServices {
  readonly defaults: PodDefaults;
  /** `own`: in place of what is configured. */
  readonly image: (
    signal: AbortSignal | undefined,
    own?: Pick<TemplateShape, 'kernel' | 'initramfs'>,
  ) => Promise<GuestImage>;
}

export interface TemplateOptions extends AutomaticLimits {
  /** For pods that say nothing: a name, or `auto`; undefined: none. */
  readonly fallback: string | undefined;
  readonly onTrouble: (error: unknown, what: string) => void;
}

interface Making {
  readonly name: string;
  readonly shape: TemplateShape;
  readonly automatic: boolean;
}

/** Whether one is to be made where there is this one; `why` tells why that one is stale. */
type Wanted = (found: StoredTemplate | undefined, why: () => Promise<string | undefined>) => Promise<boolean>;

/** `old`: seen to be no good, whatever its key says. */
const wantedFor =
  (old: StoredTemplate | undefined): Wanted =>
  async (found, why) =>
    !found || found.createdAt === old?.createdAt || (await why()) !== undefined;

const within = (signal: AbortSignal | undefined): CallOptions => ({
  signal: signal ?? AbortSignal.timeout(CALL_TIMEOUT_MS),
});

/** The templates of one directory, as one process sees them. */
export class TemplateEngine implements PodTemplates {
  readonly #automatic: AutomaticTemplates;

  constructor(
    private readonly services: TemplateServices,
    readonly store: TemplateStore,
    private readonly options: TemplateOptions,
  ) {
    this.#automatic = new AutomaticTemplates(
      store,
      options,
      (name, shape, old, signal) => this.#make({ name, shape, automatic: true }, wantedFor(old), signal),
      options.onTrouble,
    );
  }

  async create(
    input: unknown,
    { signal, timeoutMs, replace = false }: UserCallOptions & { readonly replace?: boolean },
  ): Promise<TemplateStatus> {
    this.mustBeSupported();
    const plan = {
      ...checkRequest(input, this.services.defaults, this.services.driver.capabilities),
      automatic: false,
    };
    const { name } = plan;
    const refuse = async (isThere: boolean) => {
      if (!isThere || replace) return true;
      throw new HyperplugError('TEMPLATE_EXISTS', `name: a template named ${name} exists already`, {
        details: { field: 'name', received: name },
      });
    };
    const make = async (limited: AbortSignal | undefined) => {
      // Before an image is built for it.
      await refuse(await this.store.has(name));
      return statusOf(await this.#make(plan, (found) => refuse(found !== undefined), limited), undefined);
    };
    if (timeoutMs === undefined) return make(signal);
    return withDeadline(`template ${name}`, timeoutMs, signal, (call) => make(call.signal));
  }

  list(options: UserCallOptions): Promise<readonly TemplateStatus[]> {
    return this.#call('list templates', options, async (call) => {
      const { templates, broken } = await this.store.list();
      const readable = await Promise.all(templates.map((each) => this.#status(each, call)));
      return [...readable, ...broken.map(brokenStatus)].sort((a, b) => (a.name < b.name ? -1 : 1));
    });
  }

  async inspect(name: string, options: UserCallOptions): Promise<TemplateStatus> {
    return (await this.list(options)).find((each) => each.name === name) ?? notFound(name);
  }

  remove(name: string, options: UserCallOptions): Promise<void> {
    return this.#call(`remove template ${name}`, options, async (call) => {
      if (!isTemplateName(name) || !(await this.store.remove(name, call))) notFound(name);
    });
  }

  async defaultsFor(input: unknown, defaults: PodDefaults): Promise<PodDefaults> {
    const asked = (input as { template?: unknown } | null)?.template;
    const name = asked ?? this.options.fallback;
    if (typeof name !== 'string' || !isTemplateName(name)) return defaults;
    // Who names one that is not there is told; of a configured one the pod does without.
    const found = asked === undefined ? await this.#readable(name) : await this.store.read(name);
    if (!found) return defaults;
    const { memoryMib, cpus, nicSlots } = found;
    return { ...defaults, memoryMib, cpus, allNicSlots: nicSlots };
  }

  async check(spec: PodSpec): Promise<void> {
    const { template: name } = spec;
    if (name === undefined || name === AUTO || name === NO_TEMPLATE) return;
    this.mustBeSupported();
    mustFit(spec, name, await this.store.read(name));
  }

  async choose(spec: PodSpec, signal: AbortSignal | undefined): Promise<BootWay> {
    const name = spec.template ?? this.options.fallback ?? NO_TEMPLATE;
    await this.check(spec);
    if (name === NO_TEMPLATE || !this.#supports) return { image: await this.services.image(signal) };
    if (name === AUTO) return this.#chooseAutomatic(spec, signal);
    const found = spec.template === undefined ? await this.#readable(name) : await this.store.read(name);
    if (!found || misfit(spec, name, found)) return { image: await this.services.image(signal) };
    const image = await this.services.image(signal, found);
    const why = await staleness(this.services, found, image, within(signal));
    return { image, template: why === undefined ? found : await this.#renew(found, signal) };
  }

  async chooseAgain(
    spec: PodSpec,
    template: StoredTemplate,
    error: HyperplugError,
    signal: AbortSignal | undefined,
  ): Promise<BootWay> {
    const gone = error.code === 'TEMPLATE_NOT_FOUND';
    if (gone && spec.template === template.name) throw error;
    const image = await this.services.image(signal, template);
    if (!gone && (spec.template ?? this.options.fallback) === template.name) {
      return { image, template: await this.#renew(template, signal) };
    }
    return { image, afterwards: () => this.#automatic.renew(template) };
  }

  use<T>(template: StoredTemplate, call: CallOptions, body: () => Promise<T>): Promise<T> {
    return this.store.use(template, call, body);
  }

  /** Resolves when nothing is being made in the background. */
  idle(): Promise<void> {
    return this.#automatic.idle();
  }

  /** What is being made in the background is given up. */
  close(): Promise<void> {
    return this.#automatic.close();
  }

  /** Any that fits, whoever made it; the one with the fewest slots. Without one this pod boots, and later ones have it. */
  async #chooseAutomatic(spec: PodSpec, signal: AbortSignal | undefined): Promise<BootWay> {
    const image = await this.services.image(signal);
    if (storageMisfit(spec)) return { image };
    const { templates } = await this.store.list();
    const fitting = templates
      .filter((each) => !each.kernel && !each.initramfs && !misfit(spec, each.name, each))
      .sort((a, b) => a.nicSlots - b.nicSlots);
    for (const template of fitting) {
      if ((await staleness(this.services, template, image, within(signal))) === undefined) return { image, template };
    }
    const { defaults, driver } = this.services;
    return { image, afterwards: () => this.#automatic.makeFor(spec, defaults, driver.capabilities.maxNics) };
  }

  /** As it was, by what there is now: unless somebody else has done it meanwhile. */
  #renew(old: StoredTemplate, signal: AbortSignal | undefined): Promise<StoredTemplate> {
    return this.#make({ name: old.name, automatic: old.automatic, shape: shapeOf(old) }, wantedFor(old), signal);
  }

  async #make(
    { name, shape, automatic }: Making,
    wanted: Wanted,
    signal: AbortSignal | undefined,
  ): Promise<StoredTemplate> {
    const { services } = this;
    const image = await services.image(signal, shape);
    return withDeadline(`template ${name}`, services.bootTimeoutMs * BOOTS, signal, (call) =>
      this.store.make(
        name,
        call,
        async (found) => !(await wanted(found, async () => found && staleness(services, found, image, call))),
        (directory) => bootAndSave(services, { name, automatic, shape, image }, directory, call),
      ),
    );
  }

  async #status(template: StoredTemplate, call: CallOptions): Promise<TemplateStatus> {
    const image = await this.services.image(call.signal, template);
    return statusOf(template, await staleness(this.services, template, image, call));
  }

  /** A fresh one, made where there is none. undefined: one for pods that say nothing. @throws TEMPLATE_NOT_FOUND and others. */
  async ready(name: string | undefined, signal: AbortSignal): Promise<Required<Pick<BootWay, 'image' | 'template'>>> {
    if (name !== undefined) {
      const found = await this.store.read(name);
      const image = await this.services.image(signal, found);
      const why = await staleness(this.services, found, image, { signal });
      return { image, template: why === undefined ? found : await this.#renew(found, signal) };
    }
    const { defaults } = this.services;
    const shape = { memoryMib: defaults.memoryMib, cpus: defaults.cpus, nicSlots: defaults.nicSlots + 1 };
    const image = await this.services.image(signal);
    const own = automaticName(shape);
    const found = await this.#readable(own);
    if (found && (await staleness(this.services, found, image, { signal })) === undefined)
      return { image, template: found };
    return { image, template: await this.#make({ name: own, shape, automatic: true }, wantedFor(undefined), signal) };
  }

  get #supports(): boolean {
    return this.services.driver.capabilities.snapshot;
  }

  /** @throws NOT_SUPPORTED */
  mustBeSupported(): void {
    if (this.#supports) return;
    const { name } = this.services.driver;
    throw new HyperplugError(
      'NOT_SUPPORTED',
      `templates: hypervisor ${name} cannot save a VM and go on from it (it does not declare snapshot); qemu can`,
    );
  }

  /** One that cannot be read is none. */
  async #readable(name: string): Promise<StoredTemplate | undefined> {
    return this.store.find(name).catch((error) => {
      if (hasCode(error, 'TEMPLATE_STALE')) return undefined;
      throw error;
    });
  }

  #call<T>(what: string, options: UserCallOptions, body: (call: CallOptions) => Promise<T>): Promise<T> {
    return withDeadline(what, options.timeoutMs ?? CALL_TIMEOUT_MS, options.signal, body);
  }
}
