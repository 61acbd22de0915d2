import type { AddressPool } from '../../core/address-pool.js';
import type { CallOptions } from '../../core/calls.js';
import { combineErrors, HyperplugError } from '../../core/errors.js';
import type { Firewall, FirewallNetwork } from '../../core/firewall.js';
import { UndoStack } from '../../core/undo.js';
import { bridgeDrift, ensureBridge, removeBridge } from './bridge.js';
import { bridgedPacketsAreFiltered, type Ground } from './host-nic.js';
import { nicOfAlias } from './names.js';
import type { PlannedNetwork } from './network.js';
import { ensureOvsBridge, ovsDrift, removeOvsBridge } from './ovs-bridge.js';
import type { Link } from './rtnl.js';
import { ensureNetSysctl, netSysctlIs, readNetSysctl } from './sysctl.js';
import { keepRouterAdvertisements } from './uplink.js';

const forwardingKey = (family: 4 | 6) => (family === 4 ? 'ipv4/ip_forward' : 'ipv6/conf/all/forwarding');

/** Makes, checks and removes what the NICs of a network stand on. The caller holds the lock of the networks. */
export class NetworkMaker {
  constructor(
    private readonly ground: Ground,
    private readonly firewall: Firewall,
    private readonly pool: AddressPool,
  ) {}

  /** Idempotent. If it fails on a network whose bridge it made, nothing of that network remains. */
  async ensure(network: PlannedNetwork, call: CallOptions): Promise<void> {
    const undo = new UndoStack();
    try {
      const made = await this.#ensureLink(network, call);
      if (made) undo.push('network', (undoCall) => this.remove(network, undoCall));
      if (network.attachment.kind !== 'macvtap') await this.#route(network, call);
      for (const { range, gatewayAddress } of network.subnets) {
        await this.pool.register({ range, reserved: [gatewayAddress] }, call);
      }
      const stray = await this.#strayPorts(network, call);
      for (const port of stray) await this.#adopt(network, port, call);
      if (stray.length > 0) await this.turnRound([network], call);
    } catch (error) {
      throw await undo.fail('NET_INIT_FAILED', `network ${network.spec.name}`, error);
    }
  }

  /** NICs with published ports are reached by their own pod (letPortsHairpin): a bridge that was made anew does not know. */
  async turnRound(networks: readonly PlannedNetwork[], call: CallOptions): Promise<void> {
    const { rtnl, owner } = this.ground;
    if (!bridgedPacketsAreFiltered(rtnl)) return;
    const groups = new Set(networks.filter(({ attachment }) => attachment.kind === 'bridge').map(({ group }) => group));
    const published = await this.firewall.published(call);
    for (const link of groups.size > 0 && published.length > 0 ? await rtnl.links(call) : []) {
      const nic = groups.has(link.group) && link.master !== undefined ? nicOfAlias(link.alias, owner) : undefined;
      const mine = nic && `${nic.podId}/${nic.nicId}/`;
      if (mine && published.some(({ id }) => id.startsWith(mine))) {
        await rtnl.changePort(link.index, { hairpin: true }, call);
      }
    }
  }

  /** What differs, in words; what the firewall finds is told by itself. */
  async drift(network: PlannedNetwork, call: CallOptions): Promise<string[]> {
    const { bridge, subnets, attachment } = network;
    const { rtnl } = this.ground;
    const what = attachment.kind === 'macvtap' ? 'parent interface' : 'bridge';
    const link = await rtnl.link(bridge.name, call);
    if (!link) return [`${what} ${bridge.name}: expected it to be there, it is not`];
    if (attachment.kind === 'macvtap') {
      return link.up ? [] : [`${what} ${bridge.name}: expected it to be up, it is down`];
    }
    const drift =
      attachment.kind === 'bridge'
        ? await bridgeDrift(rtnl, bridge, link, call)
        : await ovsDrift(this.ground, network, link, call);
    const sysctls = this.#sysctls(network).filter(([key, value]) => readNetSysctl(rtnl.netnsPath, key) !== value);
    const stray = await this.#strayPorts(network, call);
    return [
      ...drift.map(({ expected, received }) => `bridge ${bridge.name}: expected ${expected}, got ${received}`),
      ...sysctls.map(([key, value]) => `sysctl net/${key}: expected ${value}`),
      ...stray.map(({ name }) => `port ${name}: expected it to be on bridge ${bridge.name}, it is not`),
      ...(subnets.length === 0 ? ['no subnet'] : []),
    ];
  }

  /** The rules first: nothing is let in while the rest goes. Goes on past failures and reports all. */
  async remove(network: PlannedNetwork, call: CallOptions): Promise<void> {
    const { spec, bridge, subnets, attachment } = network;
    const errors: unknown[] = [];
    const attempt = async (step: () => Promise<unknown>) => step().catch((error: unknown) => errors.push(error));
    if (attachment.kind !== 'macvtap') await attempt(() => this.firewall.removeNetwork(spec.name, call));
    if (attachment.kind === 'bridge') await attempt(() => removeBridge(this.ground.rtnl, bridge, call));
    if (attachment.kind === 'openvswitch') await attempt(() => removeOvsBridge(this.ground, network, call));
    for (const { range } of subnets) await attempt(() => this.pool.unregister(range, call));
    if (errors.length > 0) throw combineErrors('POD_CLEANUP_FAILED', `removal of network ${spec.name}`, errors);
  }

  async #ensureLink(network: PlannedNetwork, call: CallOptions): Promise<boolean> {
    const { attachment, bridge, spec } = network;
    const { rtnl } = this.ground;
    if (attachment.kind === 'bridge') return ensureBridge(rtnl, bridge, call);
    if (attachment.kind === 'openvswitch') return ensureOvsBridge(this.ground, network, call);
    const parent = await rtnl.link(bridge.name, call);
    if (parent?.up) return false;
    const received = parent ? 'one that is down' : 'no link of that name';
    throw new HyperplugError(
      'NET_INIT_FAILED',
      `network ${spec.name}: parent ${bridge.name}: expected an interface that is up, got ${received}`,
      { details: { field: `network.netlink.attach.${spec.name}.parent`, received: bridge.name } },
    );
  }

  async #route(network: PlannedNetwork, call: CallOptions): Promise<void> {
    const { rtnl } = this.ground;
    await this.firewall.ensureNetwork(firewallNetwork(network), call);
    for (const [key, value] of this.#sysctls(network)) {
      if (readNetSysctl(rtnl.netnsPath, key) === value) continue;
      if (key === forwardingKey(6)) await keepRouterAdvertisements(rtnl, call);
      ensureNetSysctl(rtnl.netnsPath, key, value);
    }
  }

  /**
   * Published ports answer on the host's loopback too: its packets may leave by the bridge then (route_localnet). What
   * would come the other way is dropped by the firewall. A pod that says it is a router must not become the host's, which
   * believes it as long as it does not forward IPv6 itself (accept_ra).
   */
  #sysctls({ subnets, bridge }: PlannedNetwork): [key: string, value: string][] {
    const keys = subnets.map(({ family }): [string, string] => [forwardingKey(family), '1']);
    const ofBridge = `ipv6/conf/${bridge.name}`;
    const listens = !bridge.foreign && netSysctlIs(this.ground.rtnl.netnsPath, `${ofBridge}/disable_ipv6`, '0');
    if (listens) keys.push([`${ofBridge}/accept_ra`, '0']);
    const localhost = this.firewall.capabilities.localhost && subnets.some(({ family }) => family === 4);
    return localhost ? [...keys, [`ipv4/conf/${bridge.name}/route_localnet`, '1']] : keys;
  }

  /** Taps of this network's pods that are on no bridge, as theirs was deleted. */
  async #strayPorts({ bridge, attachment, group }: PlannedNetwork, call: CallOptions): Promise<Link[]> {
    if (attachment.kind !== 'bridge') return [];
    const links = await this.ground.rtnl.links(call);
    const master = links.find(({ name }) => name === bridge.name);
    const { owner } = this.ground;
    return links.filter(
      (link) => link.group === group && link.master !== master?.index && nicOfAlias(link.alias, owner) !== undefined,
    );
  }

  async #adopt({ spec, bridge }: PlannedNetwork, port: Link, call: CallOptions): Promise<void> {
    const { rtnl } = this.ground;
    const master = await rtnl.link(bridge.name, call);
    if (!master) return;
    await rtnl.changeLink(port.index, { master: master.index, up: true }, call);
    if (spec.isolated) await rtnl.changePort(port.index, { isolated: true }, call);
  }
}

export function firewallNetwork({ spec, bridge, subnets }: PlannedNetwork): FirewallNetwork {
  const { name, isolated, allow } = spec;
  return { name, bridge: bridge.name, subnets: subnets.map(({ cidr }) => cidr), isolated, ...(allow && { allow }) };
}
