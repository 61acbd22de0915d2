import type { ContainerModuleLoadOptions, ServiceIdentifier } from 'inversify';
import type { z } from 'zod';
import type { ToolProvider } from '../host/tools.js';
import type { AddressPool, AddressPoolCapabilities } from './address-pool.js';
import type { AgentCapabilities, GuestAgent } from './agent.js';
import type { CallOptions } from './calls.js';
import type { Firewall, FirewallCapabilities } from './firewall.js';
import type { HostForwards } from './host-forwards.js';
import type { HypervisorCapabilities, HypervisorDriver } from './hypervisor.js';
import type { NetworkBackend, NetworkCapabilities } from './network.js';
import type { ProgressSink } from './progress.js';
import type { StateStore, StateStoreCapabilities } from './state-store.js';

/** The version of the plugin interface; raised when a contract changes incompatibly. */
export const PLUGIN_API_VERSION = 1;

/** Kind → its service, its capabilities. */
export interface PluginKinds {
  hypervisor: { service: HypervisorDriver; capabilities: HypervisorCapabilities };
  network: { service: NetworkBackend; capabilities: NetworkCapabilities };
  firewall: { service: Firewall; capabilities: FirewallCapabilities };
  agent: { service: GuestAgent; capabilities: AgentCapabilities };
  'address-pool': { service: AddressPool; capabilities: AddressPoolCapabilities };
  state: { service: StateStore; capabilities: StateStoreCapabilities };
}
export type PluginKind = keyof PluginKinds;

/** In start order; stop is the reverse. */
export const PLUGIN_KINDS = ['state', 'address-pool', 'firewall', 'network', 'agent', 'hypervisor'] as const;

/** Service identifiers. Registered symbols, so that a plugin that cannot import this package can still name them. */
export const TOKENS = {
  hypervisor: Symbol.for('hyperplug.hypervisor') as ServiceIdentifier<HypervisorDriver>,
  network: Symbol.for('hyperplug.network') as ServiceIdentifier<NetworkBackend>,
  firewall: Symbol.for('hyperplug.firewall') as ServiceIdentifier<Firewall>,
  agent: Symbol.for('hyperplug.agent') as ServiceIdentifier<GuestAgent>,
  'address-pool': Symbol.for('hyperplug.address-pool') as ServiceIdentifier<AddressPool>,
  state: Symbol.for('hyperplug.state') as ServiceIdentifier<StateStore>,
} as const satisfies { [K in PluginKind]: ServiceIdentifier<PluginKinds[K]['service']> };

/** What plugins log to: pino's shape, without a dependency on it. */
export interface PluginLogger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Absolute; made by the composition root, or (mode 0700) by whoever first writes below them. */
export interface PluginPaths {
  /** For what can be found out again. */
  readonly cacheDir: string;
  /** For records; survives reboots. */
  readonly stateDir: string;
  /** For sockets and locks; gone with a reboot. */
  readonly runtimeDir: string;
}

/**
 * What the composition root may bind for plugins to inject. Each can be missing: a plugin injects it as optional and has
 * a plain substitute (programs from PATH, no log, nothing remembered).
 */
export const HOST_TOKENS = {
  tools: Symbol.for('hyperplug.tools') as ServiceIdentifier<ToolProvider>,
  progress: Symbol.for('hyperplug.progress') as ServiceIdentifier<ProgressSink>,
  logger: Symbol.for('hyperplug.logger') as ServiceIdentifier<PluginLogger>,
  paths: Symbol.for('hyperplug.paths') as ServiceIdentifier<PluginPaths>,
  /** Only where this process is in a network namespace of the user's own. */
  forwards: Symbol.for('hyperplug.forwards') as ServiceIdentifier<HostForwards>,
} as const;

/** How well a hypervisor would run VMs here: by the processor itself; as a program, without virtualisation; by emulation; not. */
export const FITNESS = ['native', 'light', 'emulated', 'none'] as const;
export type Fitness = (typeof FITNESS)[number];

export interface Assessment {
  readonly fitness: Fitness;
  /** For people: `KVM is used: …`. */
  readonly reason: string;
}

/** What HOST_TOKENS bind, for a plugin of which nothing has been started. */
export interface AssessmentHost {
  readonly tools: ToolProvider;
  readonly progress: ProgressSink;
  readonly paths: PluginPaths;
}

/** What `register` gets: inversify's own bind, and nothing that starts anything. */
export type PluginRegistration = Pick<ContainerModuleLoadOptions, 'bind'>;

/**
 * A plugin is a value. Importing it starts nothing; `register` only binds TOKENS[kind] in singleton scope; the registry
 * calls `start` and `stop` of the service. A factory may be asynchronous (`toDynamicValue(async () => …)`), which keeps
 * the import of what is not selected out of every start.
 */
export interface Plugin<K extends PluginKind = PluginKind, O extends z.ZodType = z.ZodType> {
  /** `[a-z][a-z0-9-]{0,31}`, unique per kind; not `driver`, `backend` or `networks`. */
  readonly name: string;
  readonly kind: K;
  readonly apiVersion: number;
  readonly capabilities: PluginKinds[K]['capabilities'];
  /**
   * A strict, synchronous object schema. Options stand in the configuration under KIND.NAME (`hypervisor.qemu`). Where
   * `{}` does not fit (an option is required), the section must be there once the plugin is selected.
   * `.meta({ secret: true })` keeps a value out of logs and `config show`; `.meta({ path: true })` makes a relative path
   * relative to the file that names it.
   */
  readonly options: O;
  /** One line for `hyperplug plugins`. */
  readonly description: string;
  register(registration: PluginRegistration, options: z.output<O>): void;
  /**
   * Of hypervisors: for `hypervisor.driver: auto`, which takes the fittest of those that have it. Proves what it says by
   * running it, starts nothing that stays.
   */
  assess?(options: z.output<O>, host: AssessmentHost, call: CallOptions): Promise<Assessment>;
}

export type AnyPlugin = { [K in PluginKind]: Plugin<K> }[PluginKind];
