import { mkdir } from 'node:fs/promises';
import type { AddressPool } from '../../core/address-pool.js';
import type { CallOptions } from '../../core/calls.js';
import type { Diagnosis } from '../../core/diagnosis.js';
import { combineErrors, fieldError, HyperplugError } from '../../core/errors.js';
import type { Firewall, PublishedPort } from '../../core/firewall.js';
import type {
  AddressLease,
  AddressRequest,
  HostNic,
  HostNicRecord,
  InterfaceAddress,
  NetworkBackend,
  NetworkSpec,
  NetworkStatus,
  NicPlan,
} from '../../core/network.js';
import { UndoStack } from '../../core/undo.js';
import { acquireLock } from '../../host/lock.js';
import { bridgeAlias, bridgeDrift, ensureBridge } from './bridge.js';
import { netlinkCapabilities } from './capabilities.js';
import { attachTap, closeAll, hostNicOf, type TapRecord } from './host-nic.js';
import { hostNameServers } from './name-servers.js';
import { type PlannedNetwork, planNetworks } from './network.js';
import type { NetlinkOptions } from './options.js';
import { publishedPorts } from './published.js';
import { Rtnl } from './rtnl.js';
import { ensureNetSysctl, readNetSysctl } from './sysctl.js';

export interface NetlinkDeps {
  readonly firewall: Firewall;
  readonly pool: AddressPool;
  /** For locks; made when first needed. */
  readonly runtimeDir: string;
}

/** Linux bridges with taps on them, made over rtnetlink: the original's network, under the contract's promises. */
export class NetlinkBackend implements NetworkBackend {
  readonly name = 'netlink';
  readonly capabilities = netlinkCapabilities;
  #rtnl: Rtnl | undefined;
  #networks = new Map<string, PlannedNetwork>();
  /** Descriptors that no VM has taken over yet, by tap name. */
  readonly #open = new Map<string, readonly number[]>();

  constructor(
    private readonly options: NetlinkOptions,
    private readonly deps: NetlinkDeps,
  ) {}

  async start(): Promise<void> {
    this.#rtnl ??= new Rtnl(this.options.netns);
  }

  async stop(): Promise<void> {
    const taps = [...this.#open.values()].flat();
    this.#open.clear();
    await closeAll(taps);
    await this.#rtnl?.close();
    this.#rtnl = undefined;
  }

  async init(specs: readonly NetworkSpec[], call: CallOptions): Promise<void> {
    const planned = await planNetworks(specs, this.options, this.#kernel(), call);
    for (const network of planned.values())
      await this.#locked(network.spec.name, call, () => this.#initOne(network, call));
    this.#networks = planned;
  }

  async #initOne(network: PlannedNetwork, call: CallOptions): Promise<void> {
    const { spec, bridge, subnets } = network;
    await ensureBridge(this.#kernel(), bridge, call);
    for (const { family } of subnets) {
      const key = family === 4 ? 'ipv4.ip_forward' : 'ipv6.conf.all.forwarding';
      ensureNetSysctl(this.options.netns, key, '1');
    }
    // Published ports answer on the host's loopback too: its packets may then leave by the bridge. The firewall drops what
    // would come the other way.
    if (this.deps.firewall.capabilities.localhost && subnets.some(({ family }) => family === 4)) {
      ensureNetSysctl(this.options.netns, `ipv4.conf.${bridge.name}.route_localnet`, '1');
    }
    await this.deps.firewall.ensureNetwork(
      { name: spec.name, bridge: bridge.name, subnets: subnets.map(({ cidr }) => cidr), isolated: spec.isolated },
      call,
    );
    for (const subnet of subnets) {
      const reserved = [subnet.gatewayAddress];
      await this.deps.pool.register({ range: subnet.range, reserved }, call);
    }
  }

  async allocateAddress(request: AddressRequest, call: CallOptions): Promise<AddressLease> {
    const { spec, subnets, bridge } = this.#network(request.network);
    const { podId, nicId } = request;
    const undo = new UndoStack();
    const addresses: InterfaceAddress[] = [];
    try {
      for (const { subnet, address } of this.#wanted(request, subnets)) {
        const { pool } = this.deps;
        const given = await pool.request(subnet.range, address, owner(podId, nicId), call);
        undo.push(`address ${given.address}`, (undoCall) => pool.release(subnet.range, given.address, undoCall));
        addresses.push({ address: given.address, prefixLength: given.prefixLength });
      }
    } catch (error) {
      throw await undo.fail('IPAM_EXHAUSTED', `addresses of ${podId}/${nicId}`, error);
    }
    const families = new Set(addresses.map(({ address }) => address.includes(':')));
    return {
      network: request.network,
      podId,
      nicId,
      addresses,
      gateways: subnets.filter(({ family }) => families.has(family === 6)).map(({ gateway }) => gateway),
      dns: spec.dns.length > 0 ? spec.dns : hostNameServers(),
      mtu: bridge.mtu,
    };
  }

  /** Which subnet each address comes from. @throws IPAM_ADDRESS_OUT_OF_RANGE for an address of no subnet. */
  #wanted({ addresses, network }: AddressRequest, subnets: PlannedNetwork['subnets']) {
    if (addresses.length === 0) return subnets.map((subnet) => ({ subnet, address: undefined }));
    return addresses.map((address) => {
      const subnet = subnets.find(({ family }) => (family === 6) === address.includes(':'));
      if (subnet) return { subnet, address };
      const expected = `an address of ${subnets.map(({ cidr }) => cidr).join(' or ')} (network ${network})`;
      throw fieldError('IPAM_ADDRESS_OUT_OF_RANGE', 'ip', expected, address);
    });
  }

  async releaseAddress(lease: AddressLease, call: CallOptions): Promise<void> {
    await this.deps.pool.releaseOwner(owner(lease.podId, lease.nicId), call);
  }

  async attach(plan: NicPlan, call: CallOptions): Promise<HostNic> {
    if (plan.endpoint !== 'tap-fd') {
      throw new HyperplugError('NOT_SUPPORTED', `endpoint: expected tap-fd, got ${plan.endpoint}`);
    }
    const network = this.#network(plan.lease.network);
    const ports = publishedPorts(plan);
    const undo = new UndoStack();
    try {
      const { tap, record } = await attachTap(this.#kernel(), network, plan, this.options.netns, call);
      this.#open.set(tap.name, tap.fds);
      undo.push(`tap ${tap.name}`, () => this.#close(tap.name));
      undo.push('published ports', (undoCall) => this.#unpublish(network, ports, undoCall));
      if (ports.length > 0) {
        await this.#locked(network.spec.name, call, () => this.deps.firewall.publish(ports, call));
      }
      return hostNicOf(this.name, plan, tap, record, () => this.#open.delete(tap.name));
    } catch (error) {
      throw await undo.fail('POD_CLEANUP_FAILED', `host side of ${plan.podId}/${plan.nicId}`, error);
    }
  }

  async detach(record: HostNicRecord, call: CallOptions): Promise<void> {
    const { tap, alias } = record.data as unknown as TapRecord;
    const errors: unknown[] = [];
    const attempt = async (step: () => Promise<unknown>) => step().catch((error: unknown) => errors.push(error));
    await attempt(async () => {
      const mine = `${record.podId}/${record.nicId}/`;
      const published = await this.deps.firewall.published(call);
      const ports = published.filter(({ id }) => id.startsWith(mine));
      if (ports.length === 0) return;
      await this.#locked(record.network, call, () =>
        this.deps.firewall.unpublish(
          ports.map(({ id }) => id),
          call,
        ),
      );
    });
    await attempt(() => this.#close(tap));
    await attempt(async () => {
      const link = await this.#kernel().link(tap, call);
      // A device of that name that is not ours is not ours to delete.
      if (link?.alias === alias) await this.#kernel().deleteLink(link.index, call);
    });
    if (errors.length > 0)
      throw combineErrors('POD_CLEANUP_FAILED', `host side of ${record.podId}/${record.nicId}`, errors);
  }

  async status(call: CallOptions): Promise<readonly NetworkStatus[]> {
    const firewall = await this.deps.firewall.check(call);
    return Promise.all(
      [...this.#networks.values()].map(async (network) => {
        const { spec, bridge, subnets } = network;
        const rules = firewall.filter((drift) => drift.network === spec.name);
        return {
          name: spec.name,
          present: (await this.#kernel().link(bridge.name, call)) !== undefined,
          bridge: bridge.name,
          subnets: subnets.map(({ cidr }) => cidr),
          gateways: subnets.map(({ gateway }) => gateway),
          mtu: bridge.mtu,
          drift: [
            ...(await this.#drift(network, call)),
            ...rules.map(({ kind, rule }) => `firewall: ${kind}: ${rule}`),
          ],
        };
      }),
    );
  }

  async #drift({ bridge, subnets }: PlannedNetwork, call: CallOptions): Promise<string[]> {
    const link = await this.#kernel().link(bridge.name, call);
    const differences = link
      ? (await bridgeDrift(this.#kernel(), bridge, link, call)).map(
          ({ expected, received }) => `expected ${expected}, got ${received}`,
        )
      : ['expected it to be there, it is not'];
    const forwarding = subnets
      .map(({ family }) => (family === 4 ? 'ipv4.ip_forward' : 'ipv6.conf.all.forwarding'))
      .filter((key) => readNetSysctl(this.options.netns, key) !== '1')
      .map((key) => `sysctl net.${key}: expected 1`);
    return [...differences.map((text) => `bridge ${bridge.name}: ${text}`), ...forwarding];
  }

  async teardown(name: string, call: CallOptions): Promise<void> {
    const { bridge, spec, subnets } = this.#network(name);
    await this.#locked(name, call, async () => {
      const errors: unknown[] = [];
      const attempt = async (step: () => Promise<unknown>) => step().catch((error: unknown) => errors.push(error));
      await attempt(() => this.deps.firewall.removeNetwork(name, call));
      await attempt(async () => {
        const link = await this.#kernel().link(bridge.name, call);
        if (link?.alias === bridgeAlias(spec.name) && !bridge.foreign)
          await this.#kernel().deleteLink(link.index, call);
      });
      for (const { range } of subnets) await attempt(() => this.deps.pool.unregister(range, call));
      if (errors.length > 0) throw combineErrors('POD_CLEANUP_FAILED', `teardown of network ${name}`, errors);
    });
  }

  async diagnose(call: CallOptions): Promise<readonly Diagnosis[]> {
    const mtu = await this.#kernel().links(call);
    const where = this.options.netns ?? "this process's network namespace";
    return [{ id: 'netlink.rtnetlink', status: 'ok', summary: `rtnetlink answers: ${mtu.length} links in ${where}` }];
  }

  async #unpublish(network: PlannedNetwork, ports: readonly PublishedPort[], call: CallOptions): Promise<void> {
    if (ports.length === 0) return;
    const ids = ports.map(({ id }) => id);
    await this.#locked(network.spec.name, call, () => this.deps.firewall.unpublish(ids, call));
  }

  async #close(tap: string): Promise<void> {
    const fds = this.#open.get(tap);
    this.#open.delete(tap);
    if (fds) await closeAll(fds);
  }

  #network(name: string): PlannedNetwork {
    const network = this.#networks.get(name);
    if (network) return network;
    const known = [...this.#networks.keys()].join(', ') || 'none: init() has not run';
    throw new HyperplugError('NET_NOT_FOUND', `network: expected one of ${known}, got ${JSON.stringify(name)}`, {
      details: { field: 'network', received: name },
    });
  }

  #kernel(): Rtnl {
    if (this.#rtnl) return this.#rtnl;
    throw new TypeError('NetlinkBackend: start() has not run');
  }

  async #locked<T>(network: string, call: CallOptions, body: () => Promise<T>): Promise<T> {
    await mkdir(`${this.deps.runtimeDir}/locks`, { recursive: true, mode: 0o700 });
    const path = `${this.deps.runtimeDir}/locks/network-${network}.lock`;
    const lock = await acquireLock(path, { purpose: `network ${network}`, signal: call.signal, exclusive: true });
    try {
      return await body();
    } finally {
      await lock.release();
    }
  }
}

const owner = (podId: string, nicId: string): string => `${podId}/${nicId}`;
