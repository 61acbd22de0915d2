import { abortError, type CallOptions, type UserCallOptions, withDeadline, withGrace } from '../calls.js';
import { combineErrors, flattenErrors, HyperplugError, isHyperplugError } from '../errors.js';
import { PLUGIN_KINDS, type PluginKind, type PluginLogger } from '../plugin.js';
import type { HostBinding, Services } from './plugin-container.js';
import { identityOf, pluginLabel } from './plugin-error.js';
import type { SelectedPlugins } from './registry.js';

export interface PluginHostOptions {
  /** Those to make and start. Default: all. */
  readonly kinds?: readonly PluginKind[];
  /** What the plugins may inject besides each other. */
  readonly bindings?: readonly HostBinding[];
  /** For each plugin. Default: 30 000. */
  readonly startTimeoutMs?: number;
  /** For each plugin. Default: 30 000. */
  readonly stopTimeoutMs?: number;
  readonly logger?: PluginLogger;
}

interface Startable {
  start?(options: CallOptions): Promise<void>;
  stop?(options: CallOptions): Promise<void>;
}

/**
 * The selected plugins at work: made and started in the order of PLUGIN_KINDS, stopped in reverse, one at a time.
 * It is started once and stopped once; there is no way back from stopped.
 */
export class PluginHost {
  readonly selected: SelectedPlugins;
  readonly #options: PluginHostOptions;
  readonly #stopping = new AbortController();
  #services: Services | undefined;
  readonly #made = new Map<PluginKind, Startable>();
  #started: PluginKind[] = [];
  #start: Promise<Services> | undefined;
  #stop: Promise<void> | undefined;

  constructor(selected: SelectedPlugins, options: PluginHostOptions = {}) {
    this.selected = selected;
    this.#options = options;
  }

  /** @throws TypeError before start() has resolved. */
  get services(): Services {
    if (!this.#services) throw new TypeError('PluginHost.services: the plugins have not been started');
    return this.#services;
  }

  /**
   * Idempotent: a later call gets the first one's outcome. On rejection whatever had started was stopped again.
   * @throws PLUGIN_INVALID, PLUGIN_START_FAILED naming the plugin; TIMEOUT naming the one that hangs; ABORTED (stop() was
   * called meanwhile, or the caller's signal fired). Failures to stop are in `errors` too, the reason to stop first.
   * @throws TypeError after stop().
   */
  start(options: UserCallOptions = {}): Promise<Services> {
    if (!this.#start && this.#stop) throw new TypeError('PluginHost.start: the plugins have been stopped');
    this.#start ??= this.#startAll(options);
    return this.#start;
  }

  /**
   * Idempotent: a later call gets the first one's outcome. Goes on past failures, also past an aborted signal, which each
   * remaining plugin then gets. A start that is under way is aborted first.
   * @throws PLUGIN_STOP_FAILED or TIMEOUT, naming the plugin; every failure is in `errors`.
   */
  stop(options: UserCallOptions = {}): Promise<void> {
    this.#stop ??= this.#stopAll(options);
    return this.#stop;
  }

  async #startAll(options: UserCallOptions): Promise<Services> {
    const signals = [this.#stopping.signal, ...(options.signal ? [options.signal] : [])];
    const signal = AbortSignal.any(signals);
    const timeoutMs = options.timeoutMs ?? this.#options.startTimeoutMs ?? 30_000;
    try {
      if (signal.aborted) throw abortError(signal, 'starting the plugins');
      // inversify takes a tenth of a second to load: only what starts plugins pays for it.
      const { resolveServices } = await import('./plugin-container.js');
      const bindings = this.#options.bindings ?? [];
      const kinds = this.#options.kinds ?? PLUGIN_KINDS;
      const services = await resolveServices(this.selected, { kinds, bindings, timeoutMs, signal });
      for (const kind of kinds) await this.#startOne(kind, services[kind], timeoutMs, signal);
      this.#services = services;
      return services;
    } catch (error) {
      const failures = await this.#stopStarted({});
      if (failures.length === 0) throw error;
      const code = isHyperplugError(error) ? error.code : 'PLUGIN_START_FAILED';
      throw combineErrors(code, 'starting the plugins', [error, ...failures]);
    }
  }

  async #startOne(kind: PluginKind, service: Startable, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const what = `${pluginLabel(identityOf(this.selected[kind]))}: start`;
    const begun = performance.now();
    let running: Promise<void> | undefined;
    let settled = false;
    this.#made.set(kind, service);
    try {
      await withDeadline(what, timeoutMs, signal, (call) => {
        running = Promise.resolve(service.start?.(call)).finally(() => {
          settled = true;
        });
        return withGrace(running, call.signal, what);
      });
    } catch (cause) {
      // One that ignored its signal may yet finish starting, and is stopped then.
      if (!settled) running?.then(() => this.#stopOne(kind, service, {})).catch(() => {});
      if (isHyperplugError(cause) && (cause.code === 'TIMEOUT' || cause.code === 'ABORTED')) throw cause;
      const { startFailure } = await import('./plugin-container.js');
      throw startFailure(this.selected[kind], 'start failed', cause);
    }
    this.#started.push(kind);
    const facts = {
      component: 'plugins',
      plugin: this.selected[kind].plugin.name,
      durationMs: performance.now() - begun,
    };
    this.#options.logger?.debug(facts, `${kind} started`);
  }

  async #stopAll(options: UserCallOptions): Promise<void> {
    this.#stopping.abort(new HyperplugError('ABORTED', 'starting the plugins: they are being stopped'));
    await this.#start?.catch(() => {}); // Its failure is the caller's of start(), and it has stopped what had started.
    const failures = await this.#stopStarted(options);
    if (failures.length > 0) throw combineErrors('PLUGIN_STOP_FAILED', 'stopping the plugins', failures);
  }

  async #stopStarted(options: UserCallOptions): Promise<unknown[]> {
    const kinds = this.#started.reverse();
    this.#started = [];
    const failures: unknown[] = [];
    for (const kind of kinds) {
      try {
        await this.#stopOne(kind, this.#made.get(kind)!, options);
      } catch (error) {
        failures.push(error);
      }
    }
    return flattenErrors(failures);
  }

  async #stopOne(kind: PluginKind, service: Startable, options: UserCallOptions): Promise<void> {
    const what = `${pluginLabel(identityOf(this.selected[kind]))}: stop`;
    const timeoutMs = options.timeoutMs ?? this.#options.stopTimeoutMs ?? 30_000;
    try {
      await withDeadline(what, timeoutMs, options.signal, async (call) =>
        withGrace(Promise.resolve(service.stop?.(call)), call.signal, what),
      );
    } catch (cause) {
      if (isHyperplugError(cause) && (cause.code === 'TIMEOUT' || cause.code === 'ABORTED')) throw cause;
      const reason = cause instanceof Error ? cause.message : String(cause);
      const details = { plugin: this.selected[kind].plugin.name, kind, reason };
      throw new HyperplugError('PLUGIN_STOP_FAILED', `${what} failed: ${reason}`, { cause, details });
    }
  }
}
