import { type CallOptions, type UserCallOptions, withDeadline } from './calls.js';
import { combineErrors, HyperplugError } from './errors.js';
import type { NetworkBackend, NetworkSpec, NetworkStatus, RunningNic } from './network.js';
import type { NetworkRepair, NetworkReport, Networks } from './pod/types.js';

const TIMEOUT_MS = 60_000;

/** A NIC on a network, from its pod's record. */
export interface NicInUse {
  readonly podId: string;
  readonly network: string;
  /** undefined: its pod does not run, or it is half made. */
  readonly attached?: RunningNic;
}

export interface NetworksDeps {
  readonly specs: readonly NetworkSpec[];
  /** Those that are not to be made, and why. They are looked at and torn down as others. */
  readonly refused: ReadonlyMap<string, HyperplugError>;
  /** The plugins, started. */
  backend(options: UserCallOptions): Promise<NetworkBackend>;
  /** core's initNetworks(), which makes these. */
  init(names: readonly string[], options: UserCallOptions): Promise<void>;
  nics(options: UserCallOptions): Promise<readonly NicInUse[]>;
  /** Networks are not as they were when a pod last needed them. */
  forget(): void;
}

/** The configured networks over their backend: of one process that may have made none of them. */
export class ConfiguredNetworks implements Networks {
  constructor(private readonly deps: NetworksDeps) {}

  async init(names: readonly string[] = [], options: UserCallOptions = {}): Promise<readonly NetworkReport[]> {
    const chosen = this.#makeable(names);
    await this.#backend(options);
    await this.#make(chosen, options);
    if (names.length === 0) this.#tellRefused();
    return this.status(names, options);
  }

  async status(names: readonly string[] = [], options: UserCallOptions = {}): Promise<readonly NetworkReport[]> {
    const chosen = this.#chosen(names);
    const backend = await this.#backend(options);
    const nics = await this.deps.nics(options);
    const found = await this.#found(backend, nics, options);
    return chosen.flatMap(({ name }) => {
      const status = found.find((one) => one.name === name);
      if (!status) return [];
      const pods = [...new Set(nics.filter((nic) => nic.network === name).map(({ podId }) => podId))].sort();
      const why = this.deps.refused.get(name)?.message;
      const told = why === undefined ? status : { ...status, drift: [`configuration: ${why}`, ...status.drift] };
      return [{ ...told, state: stateOf(told), backend: backend.name, pods }];
    });
  }

  async repair(names: readonly string[] = [], options: UserCallOptions = {}): Promise<readonly NetworkRepair[]> {
    const chosen = this.#makeable(names);
    const before = await this.status(names, options);
    const backend = await this.#backend(options);
    await this.#make(chosen, options);
    await this.#call('repair networks', options, async (call) => {
      for (const { name } of chosen) await backend.repair?.(name, call);
    });
    if (names.length === 0) this.#tellRefused();
    for (const { name, drift } of await this.status(names, options)) {
      if (drift.length === 0) continue;
      throw new HyperplugError(
        'NET_INIT_FAILED',
        `network ${name} still differs after its repair: ${drift.join('; ')}`,
        {
          details: { network: name, drift },
        },
      );
    }
    return before.map(({ name, drift }) => ({ name, mended: drift }));
  }

  async teardown(
    names: readonly string[] = [],
    { force = false, ...options }: UserCallOptions & { readonly force?: boolean } = {},
  ): Promise<readonly string[]> {
    const chosen = this.#chosen(names);
    const backend = await this.#backend(options);
    const nics = await this.deps.nics(options);
    if (!force) refuseUsed(chosen, nics);
    const errors: unknown[] = [];
    this.deps.forget();
    await this.#call('tear down networks', options, async (call) => {
      await this.#configure(backend, nics, call);
      for (const { name } of chosen) {
        await backend.teardown(name, call).catch((error: unknown) => errors.push(error));
      }
    });
    if (errors.length > 0) throw combineErrors('POD_CLEANUP_FAILED', 'tearing down networks', errors);
    return chosen.map(({ name }) => name);
  }

  /** @throws NET_NOT_FOUND */
  #chosen(names: readonly string[]): readonly NetworkSpec[] {
    const { specs } = this.deps;
    const known = specs.map(({ name }) => name);
    const strange = names.find((name) => !known.includes(name));
    if (strange !== undefined) {
      throw new HyperplugError(
        'NET_NOT_FOUND',
        `network: expected one of ${known.join(', ')}, got ${JSON.stringify(strange)}`,
        { details: { field: 'network', expected: known, received: strange } },
      );
    }
    return names.length === 0 ? specs : specs.filter(({ name }) => names.includes(name));
  }

  /** The chosen ones that can be made: of all, those; of such as were named, each. @throws NET_NOT_FOUND, CONFIG_INVALID */
  #makeable(names: readonly string[]): readonly NetworkSpec[] {
    const chosen = this.#chosen(names);
    this.#tellRefused(names);
    return chosen.filter(({ name }) => !this.deps.refused.has(name));
  }

  /** @throws CONFIG_INVALID one of these, or without names any, is not made. */
  #tellRefused(names: readonly string[] = [...this.deps.refused.keys()]): void {
    for (const name of names) {
      const why = this.deps.refused.get(name);
      if (why) throw why;
    }
  }

  async #make(chosen: readonly NetworkSpec[], options: UserCallOptions): Promise<void> {
    this.deps.forget();
    await this.deps.init(
      chosen.map(({ name }) => name),
      options,
    );
  }

  #found(
    backend: NetworkBackend,
    nics: readonly NicInUse[],
    options: UserCallOptions,
  ): Promise<readonly NetworkStatus[]> {
    return this.#call('look at networks', options, async (call) => {
      await this.#configure(backend, nics, call);
      return backend.status(call);
    });
  }

  async #configure(backend: NetworkBackend, nics: readonly NicInUse[], call: CallOptions): Promise<void> {
    const attached = nics.flatMap((nic) => nic.attached ?? []);
    if (backend.configure) await backend.configure(this.deps.specs, attached, call);
    // init() of the hypervisor's own network makes nothing.
    else if (backend.capabilities.hypervisorNetwork) await backend.init(this.deps.specs, call);
    else
      throw new HyperplugError('NOT_SUPPORTED', `network ${backend.name} cannot tell of networks without making them`);
  }

  #backend(options: UserCallOptions): Promise<NetworkBackend> {
    return this.deps.backend(options);
  }

  #call<T>(what: string, options: UserCallOptions, body: (call: CallOptions) => Promise<T>): Promise<T> {
    return withDeadline(what, options.timeoutMs ?? TIMEOUT_MS, options.signal, body);
  }
}

function stateOf({ present, drift }: NetworkStatus): NetworkReport['state'] {
  if (present === false) return 'absent';
  return drift.length > 0 ? 'drifted' : 'ready';
}

/** @throws NET_IN_USE */
function refuseUsed(chosen: readonly NetworkSpec[], nics: readonly NicInUse[]): void {
  for (const { name } of chosen) {
    const pods = [...new Set(nics.filter(({ network }) => network === name).map(({ podId }) => podId))];
    if (pods.length === 0) continue;
    throw new HyperplugError('NET_IN_USE', `network ${name}: expected no pod in it, got ${pods.join(', ')}`, {
      details: { network: name, pods, fix: 'remove these pods first, or tear it down with force' },
    });
  }
}
