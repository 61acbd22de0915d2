import type { CallOptions, UserCallOptions } from '../calls.js';
import { combineErrors, HyperplugError, isHyperplugError } from '../errors.js';
import type { HypervisorDriver } from '../hypervisor.js';
import { PluginHost, type PluginHostOptions } from './plugin-host.js';
import { type PluginRegistry, parseOptions, type SelectedPlugins } from './registry.js';

/**
 * Hypervisors beside the configured one, made and started when the end of something that one of them made is asked for: who
 * changes `hypervisor.driver` does not lose what the one before has left.
 */
export class OtherHypervisors {
  readonly #hosts = new Map<string, PluginHost>();

  constructor(
    private readonly registry: PluginRegistry,
    /** As the configuration has them. */
    private readonly optionsOf: (name: string) => unknown,
    private readonly hostOptions: PluginHostOptions,
  ) {}

  /** @throws PLUGIN_NOT_FOUND it is not known here, or cannot be made or started. */
  async get(name: string, call: CallOptions): Promise<HypervisorDriver> {
    try {
      let host = this.#hosts.get(name);
      if (!host) {
        const known = this.registry.get('hypervisor', name);
        const selected = { hypervisor: { ...known, options: parseOptions(known, this.optionsOf(name) ?? {}) } };
        host = new PluginHost(selected as unknown as SelectedPlugins, { ...this.hostOptions, kinds: ['hypervisor'] });
        this.#hosts.set(name, host);
      }
      return (await host.start(call)).hypervisor;
    } catch (cause) {
      this.#hosts.delete(name);
      if (!isHyperplugError(cause) || cause.code === 'ABORTED' || cause.code === 'TIMEOUT') throw cause;
      throw new HyperplugError('PLUGIN_NOT_FOUND', `hypervisor ${name}: ${cause.message}`, { cause });
    }
  }

  /** @throws PLUGIN_STOP_FAILED. */
  async stop(options: UserCallOptions = {}): Promise<void> {
    const ended = await Promise.allSettled([...this.#hosts.values()].map((host) => host.stop(options)));
    const errors = ended.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
    if (errors.length > 0) throw combineErrors('PLUGIN_STOP_FAILED', 'stopping other hypervisors', errors);
  }
}
