import type { AddressPool } from '../../core/address-pool.js';
import { type CallOptions, throwIfAborted } from '../../core/calls.js';
import type { Diagnosis } from '../../core/diagnosis.js';
import { combineErrors, fieldError, HyperplugError } from '../../core/errors.js';
import type { Firewall, PublishedPort, Restriction } from '../../core/firewall.js';
import type { HostForwards } from '../../core/host-forwards.js';
import type {
  AddressLease,
  AddressRequest,
  HostNic,
  HostNicRecord,
  InitOptions,
  NetworkBackend,
  NetworkSpec,
  NetworkStatus,
  NicCounters,
  NicPlan,
  NicTrace,
  PortMapping,
  RunningNic,
} from '../../core/network.js';
import type { PluginLogger } from '../../core/plugin.js';
import { UndoStack } from '../../core/undo.js';
import type { ToolProvider } from '../../host/tools.js';
import { netlinkCapabilities } from './capabilities.js';
import {
  attachDevice,
  closeAll,
  type DeviceRecord,
  detachDevice,
  deviceCounters,
  type Ground,
  hostNicOf,
  letPortsHairpin,
  plannedDevice,
  setDeviceMtu,
} from './host-nic.js';
import { giveAddresses, takeAddresses } from './leases.js';
import { LinkReaper } from './link-reaper.js';
import { type PlannedNetwork, planNetworks } from './network.js';
import { NetworkMaker } from './network-maker.js';
import { networkStatus } from './network-status.js';
import { NetworkTurns } from './network-turns.js';
import { NicRules } from './nic-rules.js';
import { OpenVswitch, ovsVsctl } from './openvswitch.js';
import type { NetlinkOptions } from './options.js';
import { Rtnl } from './rtnl.js';
import { refuseOtherNamespace } from './same-namespace.js';
import { standingNetworks } from './standing.js';
import type { Tap } from './tap.js';
import { nicTraces } from './traces.js';
import { Watcher } from './watcher.js';

export interface NetlinkDeps {
  readonly firewall: Firewall;
  readonly pool: AddressPool;
  /** Whose the devices are; undefined: they bear no such mark. */
  readonly owner?: string | undefined;
  /** For locks; made when first needed. */
  readonly runtimeDir: string;
  /** Where ovs-vsctl comes from; default: the PATH. */
  readonly tools?: ToolProvider;
  readonly logger?: Pick<PluginLogger, 'warn'>;
  /** How the namespace that this process is in meets the host; undefined: it is the host's. */
  readonly forwards?: HostForwards | undefined;
}

/** What is there between start() and stop(). */
interface Running extends Ground {
  readonly maker: NetworkMaker;
  readonly reaper: LinkReaper;
}

const WATCH_REPAIR_MS = 60_000;
/** Linux bridges with taps on them, made over rtnetlink: the original's network, under the contract's promises. */
export class NetlinkBackend implements NetworkBackend {
  readonly name = 'netlink';
  readonly capabilities = netlinkCapabilities;
  #running: Running | undefined;
  #watcher: Watcher | undefined;
  #networks = new Map<string, PlannedNetwork>();
  /** Names of those that were made ready here. */
  readonly #made = new Set<string>();
  /** Taps that no VM has taken over yet, by name. */
  readonly #open = new Map<string, Tap>();
  readonly #rules: NicRules;
  readonly #turns: NetworkTurns;

  constructor(
    private readonly options: NetlinkOptions,
    private readonly deps: NetlinkDeps,
  ) {
    this.#turns = new NetworkTurns(`${deps.runtimeDir}/locks/network.lock`);
    this.#rules = new NicRules(deps.firewall, deps.forwards, this.#turns, options.netns);
  }

  async start(): Promise<void> {
    if (this.#running) return;
    refuseOtherNamespace(this.options.netns, this.deps.firewall);
    const ground = {
      rtnl: new Rtnl(this.options.netns),
      ovs: new OpenVswitch(ovsVsctl(this.deps.tools)),
      owner: this.deps.owner,
    };
    const maker = new NetworkMaker(ground, this.deps.firewall, this.deps.pool);
    this.#running = { ...ground, maker, reaper: new LinkReaper(ground.rtnl) };
  }

  async stop(): Promise<void> {
    await this.#watcher?.close();
    this.#watcher = undefined;
    for (const tap of [...this.#open.values()]) await this.#close(tap);
    this.#rules.release();
    await this.#running?.rtnl.close();
    this.#running = undefined;
  }

  async configure(specs: readonly NetworkSpec[], nics: readonly RunningNic[], call: CallOptions): Promise<void> {
    const names = specs.map(({ name }) => name);
    const unknown = Object.keys(this.options.attach).find((name) => !names.includes(name));
    if (unknown !== undefined) {
      throw fieldError(
        'NET_SPEC_INVALID',
        'network.netlink.attach',
        `names of networks (${names.join(', ')})`,
        unknown,
      );
    }
    this.#networks = await this.#plan(specs, call);
    const { firewall } = this.deps;
    const known = nics.flatMap(({ lease, ports: mappings, allow }) => {
      const network = this.#networks.get(lease.network);
      if (!network || !firewall.capabilities.enforces) return [];
      const ports = this.#rules.ports(network, lease, mappings);
      return [{ ports, restrictions: this.#rules.restrictions(network, lease, allow) }];
    });
    await this.#tellFirewall(
      call,
      known.flatMap(({ ports }) => ports),
      known.flatMap(({ restrictions }) => restrictions),
    );
  }

  async init(specs: readonly NetworkSpec[], { only, ...call }: InitOptions): Promise<void> {
    const networks = await this.#plan(specs, call, only);
    this.#networks = networks;
    const wanted = [...networks.values()].filter(({ spec }) => only?.includes(spec.name) ?? true);
    if (wanted.length === 0) await this.#tellFirewall(call);
    else await this.#turns.run('init of the networks', call, () => this.#make(wanted, call));
    if (this.options.repair === 'watch') {
      this.#watcher ??= new Watcher(
        this.options.netns,
        () => this.#repairDrift(),
        (error) => this.deps.logger?.warn({ err: error }, 'networks that changed could not be repaired; trying again'),
      );
    }
  }

  #plan(
    specs: readonly NetworkSpec[],
    call: CallOptions,
    only?: readonly string[],
  ): Promise<Map<string, PlannedNetwork>> {
    const { owner, forwards } = this.deps;
    const options = { ...this.options, owner, only, known: this.#networks, wayOutMtu: forwards?.mtu };
    return planNetworks(specs, options, this.#ground().rtnl, call);
  }

  /** All that can be; with the lock of the networks: what another process made before is kept apart from these. */
  async #make(networks: readonly PlannedNetwork[], call: CallOptions): Promise<void> {
    await this.#tellFirewall(call);
    const errors: unknown[] = [];
    for (const network of networks) {
      throwIfAborted(call.signal, 'init of the networks');
      try {
        await this.#ground().maker.ensure(network, call);
        this.#made.add(network.spec.name);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw combineErrors('NET_INIT_FAILED', 'networks', errors);
  }

  async #tellFirewall(
    call: CallOptions,
    ports?: readonly PublishedPort[],
    restrictions?: readonly Restriction[],
  ): Promise<void> {
    const standing = await standingNetworks(this.#ground().rtnl, this.#networks.values(), call);
    this.deps.firewall.configure?.(standing, ports, restrictions);
  }

  async allocateAddress(request: AddressRequest, call: CallOptions): Promise<AddressLease> {
    return takeAddresses(
      this.deps.pool,
      this.#network(request.network),
      request,
      call,
      this.deps.forwards?.nameServers,
    );
  }

  async releaseAddress(lease: AddressLease, call: CallOptions): Promise<void> {
    await giveAddresses(this.deps.pool, this.#networks.get(lease.network), lease, call);
  }

  async attach(plan: NicPlan, call: CallOptions): Promise<HostNic> {
    if (plan.endpoint !== 'tap-fd' && plan.endpoint !== 'interface') {
      throw new HyperplugError('NOT_SUPPORTED', `endpoint: expected tap-fd or interface, got ${plan.endpoint}`);
    }
    const network = this.#network(plan.lease.network);
    this.#rules.check(plan.ports);
    const ports = this.#rules.ports(network, plan.lease, plan.ports);
    const restrictions = this.#rules.restrictions(network, plan.lease, plan.allow);
    const ground = this.#ground();
    const undo = new UndoStack();
    try {
      if (restrictions.length > 0) {
        undo.push('restrictions', (undoCall) => this.#rules.unrestrict(plan, undoCall));
        await this.#rules.restrict(restrictions, call);
      }
      const made = await attachDevice(ground, network, plan, call);
      const device = restrictions.length > 0 ? { ...made, record: { ...made.record, restricted: true } } : made;
      const { tap, record } = device;
      this.#open.set(tap.name, tap);
      undo.push(`device ${tap.name}`, async (undoCall) => {
        await this.#close(tap);
        await detachDevice(ground, record, (index) => ground.rtnl.deleteLink(index, undoCall), undoCall);
      });
      await this.#rules.publish(ports, plan.ports, call);
      return hostNicOf(this.name, plan, device, () => this.#close(tap));
    } catch (error) {
      throw await undo.fail('POD_CLEANUP_FAILED', `host side of ${plan.podId}/${plan.nicId}`, error);
    }
  }

  async detach({ network, podId, nicId, data }: HostNicRecord, call: CallOptions): Promise<void> {
    const errors: unknown[] = [];
    const attempt = async (step: () => Promise<unknown>) => step().catch((error: unknown) => errors.push(error));
    await attempt(() => this.#rules.withdraw({ podId, nicId }, call));
    const device = (data as unknown as DeviceRecord | null) ?? this.#plannedDevice(network, podId, nicId);
    const tap = this.#open.get(device.device);
    if (tap) await attempt(() => this.#close(tap));
    const { reaper } = this.#ground();
    await attempt(() => detachDevice(this.#ground(), device, (index) => reaper.delete(index, call), call));
    // Last: as long as anything of it is there, nobody else may come.
    if (data === null || device.restricted) await attempt(() => this.#rules.unrestrict({ podId, nicId }, call));
    if (errors.length > 0) throw combineErrors('POD_CLEANUP_FAILED', `host side of ${podId}/${nicId}`, errors);
  }

  async publish(
    { data }: HostNicRecord,
    lease: AddressLease,
    mappings: readonly PortMapping[],
    call: CallOptions,
  ): Promise<void> {
    this.#rules.check(mappings);
    const ports = this.#rules.ports(this.#network(lease.network), lease, mappings);
    if (ports.length === 0) return;
    if (data) await letPortsHairpin(this.#ground(), data as unknown as DeviceRecord, call);
    await this.#rules.publish(ports, mappings, call);
  }

  async unpublish(nic: HostNicRecord, mappings: readonly PortMapping[], call: CallOptions): Promise<void> {
    await this.#rules.unpublish(nic, mappings, call);
  }

  async setMtu({ data }: HostNicRecord, mtu: number, call: CallOptions): Promise<void> {
    const { rtnl } = this.#ground();
    await setDeviceMtu(rtnl, data as unknown as DeviceRecord, mtu, call);
  }

  async counters({ data }: HostNicRecord, call: CallOptions): Promise<NicCounters | null> {
    return data === null ? null : deviceCounters(this.#ground().rtnl, data as unknown as DeviceRecord, call);
  }

  async status(call: CallOptions): Promise<readonly NetworkStatus[]> {
    const { rtnl, maker } = this.#ground();
    const { firewall, forwards } = this.deps;
    return networkStatus(this.#networks, this.#made, { rtnl, maker, firewall, forwards }, call);
  }

  async repair(name: string | undefined, call: CallOptions): Promise<void> {
    await this.#repair(name === undefined ? [...this.#networks.values()] : [this.#network(name)], call);
    // Nothing in here can mend what is outside.
    const [left] = (await this.deps.forwards?.drift(call)) ?? [];
    if (left === undefined) return;
    const fix = 'hyperplug gc --rootless --no-daemon';
    throw new HyperplugError('NET_INIT_FAILED', `${left}; ${fix} mends that`, { details: { fix } });
  }

  async #repair(networks: readonly PlannedNetwork[], call: CallOptions): Promise<void> {
    await this.#turns.run('repair of the networks', call, async () => {
      await this.#make(networks, call);
      await this.deps.firewall.repair(call);
      await this.#ground().maker.turnRound(networks, call);
    });
  }

  async teardown(name: string, call: CallOptions): Promise<void> {
    const network = this.#network(name);
    this.#made.delete(name);
    await this.#turns.run(`teardown of network ${name}`, call, () => this.#ground().maker.remove(network, call));
  }

  async traces(call: CallOptions): Promise<readonly NicTrace[]> {
    const { firewall, pool, owner } = this.deps;
    const [links, ports, restrictions, allocations] = await Promise.all([
      this.#ground().rtnl.links(call),
      firewall.published(call),
      firewall.restricted?.(call) ?? [],
      pool.all?.(call) ?? [],
    ]);
    const { forwards } = this.deps;
    const asPublished = ports.map((port) => ({ ...port, mapping: forwards?.outside(port.mapping) ?? port.mapping }));
    return nicTraces({
      links,
      ports: asPublished,
      restrictions,
      allocations,
      networks: [...this.#networks.values()],
      owner,
    });
  }

  async diagnose(call: CallOptions): Promise<readonly Diagnosis[]> {
    const where = this.options.netns ?? "this process's network namespace";
    const { rtnl, ovs } = this.#ground();
    const links = await rtnl.links(call);
    const summary = `rtnetlink answers: ${links.length} links in ${where}`;
    const switched = Object.entries(this.options.attach).filter(([, { kind }]) => kind === 'openvswitch');
    return [
      { id: 'netlink.rtnetlink', status: 'ok', summary },
      ...(switched.length > 0
        ? [
            await ovs.diagnose(
              switched.map(([name]) => name),
              call,
            ),
          ]
        : []),
    ];
  }

  /** What a NIC has whose attach() never answered. */
  #plannedDevice(network: string, podId: string, nicId: string): DeviceRecord {
    const known = this.#networks.get(network);
    const kind = known?.attachment.kind ?? 'bridge';
    return plannedDevice({ podId, nicId }, kind, known?.bridge.name ?? '', this.deps.owner);
  }

  async #repairDrift(): Promise<void> {
    const call = { signal: AbortSignal.timeout(WATCH_REPAIR_MS) };
    // Nobody has asked for the others.
    const made = (await this.status(call)).filter(({ name }) => this.#made.has(name));
    if (made.every(({ drift }) => drift.length === 0)) return;
    await this.#repair(
      made.map(({ name }) => this.#network(name)),
      call,
    );
  }

  async #close(tap: Tap): Promise<void> {
    // One of that name may have been made anew since.
    if (this.#open.get(tap.name) !== tap) return;
    this.#open.delete(tap.name);
    await closeAll(tap.fds);
  }

  #network(name: string): PlannedNetwork {
    const network = this.#networks.get(name);
    if (network) return network;
    const known = [...this.#networks.keys()].join(', ') || 'none: init() has not run';
    throw new HyperplugError('NET_NOT_FOUND', `network: expected one of ${known}, got ${JSON.stringify(name)}`, {
      details: { field: 'network', received: name },
    });
  }

  #ground(): Running {
    if (this.#running) return this.#running;
    throw new TypeError('NetlinkBackend: start() has not run');
  }
}
