import {
  type CallOptions,
  type Firewall,
  type FirewallDrift,
  type FirewallNetwork,
  HyperplugError,
  type PublishedPort,
  throwIfAborted,
} from 'hyperplug';
import { capabilities } from './capabilities.js';
import { Rules } from './rules.js';

/** What there should be, and a Rules that makes it so. All calls are idempotent. */
export class __CLASS__Firewall implements Firewall {
  readonly name = '__NAME__';
  readonly capabilities = capabilities;
  readonly #rules: Rules;
  readonly #networks = new Map<string, FirewallNetwork>();

  constructor(rules = new Rules()) {
    this.#rules = rules;
  }

  configure(networks: readonly FirewallNetwork[]): void {
    this.#networks.clear();
    for (const network of networks) this.#networks.set(network.name, network);
  }

  async ensureNetwork(network: FirewallNetwork, { signal }: CallOptions): Promise<void> {
    throwIfAborted(signal, `rules of network ${network.name}`);
    if (network.isolated && !this.capabilities.isolation) this.#refuse('isolation');
    if (network.allow) this.#refuse('allow lists');
    await this.#rules.ensureNetwork(network, signal);
    this.#networks.set(network.name, network);
  }

  async removeNetwork(name: string, { signal }: CallOptions): Promise<void> {
    throwIfAborted(signal, `removing the rules of network ${name}`);
    await this.#rules.removeNetwork(name, signal);
    this.#networks.delete(name);
  }

  async publish(ports: readonly PublishedPort[], { signal }: CallOptions): Promise<void> {
    throwIfAborted(signal, 'publishing ports');
    for (const { network, mapping } of ports) {
      if (!this.capabilities.protocols.includes(mapping.protocol)) this.#refuse(`protocol ${mapping.protocol}`);
      if (!this.#networks.has(network)) throw new HyperplugError('NET_NOT_FOUND', `no network ${network}`);
    }
    await this.#rules.publish(ports, signal);
  }

  async unpublish(ids: readonly string[], { signal }: CallOptions): Promise<void> {
    throwIfAborted(signal, 'unpublishing ports');
    await this.#rules.unpublish(ids, signal);
  }

  async published({ signal }: CallOptions): Promise<readonly PublishedPort[]> {
    throwIfAborted(signal, 'reading published ports');
    return this.#rules.published(signal);
  }

  async check({ signal }: CallOptions): Promise<readonly FirewallDrift[]> {
    throwIfAborted(signal, 'checking rules');
    return this.#rules.drift([...this.#networks.values()], signal);
  }

  async repair(options: CallOptions): Promise<void> {
    const drift = await this.check(options);
    if (drift.length > 0) await this.#rules.repair(drift, options.signal);
  }

  #refuse(what: string): never {
    throw new HyperplugError('NOT_SUPPORTED', `firewall ${this.name} does not declare ${what}`);
  }
}
