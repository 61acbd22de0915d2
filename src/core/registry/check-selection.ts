import { isIPv4 } from 'node:net';
import { combineErrors, type HyperplugError } from '../errors.js';
import type { NicEndpointKind } from '../hypervisor.js';
import type { NetworkCapabilities, NetworkSpec } from '../network.js';
import type { PluginKind } from '../plugin.js';
import { identityOf, pluginError } from './plugin-error.js';
import type { SelectedPlugins } from './registry.js';

/** What a pod asks where it says nothing itself. */
export interface PodNeeds {
  readonly memoryMib: number;
  readonly cpus: number;
  readonly nicSlots: number;
}

/** The kind of NIC endpoint to use: the first that the backend makes and the driver takes. */
export function chooseEndpoint(
  network: Pick<NetworkCapabilities, 'endpoints'>,
  hypervisor: { readonly nicEndpoints: readonly NicEndpointKind[] },
): NicEndpointKind | undefined {
  return network.endpoints.find((kind) => hypervisor.nicEndpoints.includes(kind));
}

type Problem = readonly [kind: PluginKind, field: string, expected: string, received: unknown];

function refuse(selected: SelectedPlugins, what: string, problems: Iterable<Problem>): void {
  const errors = [...problems].map(([kind, field, expected, received]): HyperplugError => {
    return pluginError('PLUGIN_CAPABILITY_MISSING', identityOf(selected[kind]), { field, expected, received });
  });
  if (errors.length > 0) throw combineErrors('PLUGIN_CAPABILITY_MISSING', what, errors);
}

/**
 * Whether the selected plugins fit each other and what is configured, by their declarations alone: nothing has run yet.
 * @throws PLUGIN_CAPABILITY_MISSING with plugin, field, expectation and value of each that does not.
 */
export function checkSelection(selected: SelectedPlugins, networks: readonly NetworkSpec[], pods?: PodNeeds): void {
  refuse(selected, 'the selected plugins', selectionProblems(selected, networks, pods));
}

/**
 * Whether pods can outlive their manager with these plugins; only asked for once a pod is to be kept.
 * @throws PLUGIN_CAPABILITY_MISSING
 */
export function checkKeep(selected: SelectedPlugins): void {
  refuse(selected, 'keeping a pod', keepProblems(selected));
}

function* selectionProblems(
  selected: SelectedPlugins,
  networks: readonly NetworkSpec[],
  pods: PodNeeds | undefined,
): Iterable<Problem> {
  const hypervisor = selected.hypervisor.plugin.capabilities;
  const network = selected.network.plugin.capabilities;
  const driver = selected.hypervisor.plugin.name;
  const backend = selected.network.plugin.name;
  if (!chooseEndpoint(network, hypervisor)) {
    const expected = `one that hypervisor ${driver} takes (${hypervisor.nicEndpoints.join(', ') || 'none'})`;
    yield ['network', 'capabilities.endpoints', expected, network.endpoints];
  }
  if (network.hypervisorNetwork && !hypervisor.builtinNetwork) {
    const expected = `true, as network ${backend} is the hypervisor's own network`;
    yield ['hypervisor', 'capabilities.builtinNetwork', expected, hypervisor.builtinNetwork];
  }
  if (!hypervisor.coldplugNic && !hypervisor.hotplugNic) {
    yield ['hypervisor', 'capabilities.coldplugNic', 'true where hotplugNic is false', hypervisor.coldplugNic];
  }
  const { channels } = selected.agent.plugin.capabilities;
  if (new Set(channels).size !== channels.length) {
    yield ['agent', 'capabilities.channels', 'names that differ from each other', channels];
  }
  if (networks.length > 1 && !network.multipleNetworks) {
    const names = networks.map(({ name }) => name);
    yield ['network', 'capabilities.multipleNetworks', `true, as networks ${names.join(', ')} are configured`, false];
  }
  for (const spec of networks) yield* networkProblems(selected, spec);
  if (pods) yield* podProblems(selected, pods);
}

function* networkProblems(selected: SelectedPlugins, spec: NetworkSpec): Iterable<Problem> {
  const network = selected.network.plugin.capabilities;
  const firewall = selected.firewall.plugin.capabilities;
  const pool = selected['address-pool'].plugin.capabilities;
  const field = `network.networks.${spec.name}`;
  for (const subnet of spec.subnets) {
    const [address = '', prefix = ''] = subnet.split('/');
    const family = isIPv4(address) ? 4 : 6;
    const expected = `IPv${family} among them, as ${field}.subnets has ${subnet}`;
    if (!network.families.includes(family)) yield ['network', 'capabilities.families', expected, network.families];
    if (network.hypervisorNetwork) continue; // The hypervisor's own network needs neither rules nor a shared pool.
    if (firewall.enforces && !firewall.families.includes(family)) {
      yield ['firewall', 'capabilities.families', expected, firewall.families];
    }
    if (!pool.families.includes(family)) yield ['address-pool', 'capabilities.families', expected, pool.families];
    else if (Number(prefix) < pool.shortestPrefix[family]) {
      const limit = `${prefix} or less, as ${field}.subnets has ${subnet}`;
      yield ['address-pool', `capabilities.shortestPrefix.${family}`, limit, pool.shortestPrefix[family]];
    }
  }
  if (spec.mtu !== null && (spec.mtu < network.mtu.min || spec.mtu > network.mtu.max)) {
    yield ['network', 'capabilities.mtu', `a range with ${spec.mtu}, as ${field}.mtu asks`, network.mtu];
  }
  const { internal = [], external = [] } = spec.allow ?? {};
  if (internal.length + external.length > 0 && (network.hypervisorNetwork || !firewall.enforces)) {
    const kind = network.hypervisorNetwork ? 'network' : 'firewall';
    const capability = network.hypervisorNetwork ? 'capabilities.hypervisorNetwork' : 'capabilities.enforces';
    yield [
      kind,
      capability,
      `${!network.hypervisorNetwork}, as ${field}.allow restricts who comes in`,
      network.hypervisorNetwork,
    ];
  }
  if (!spec.isolated) return;
  const why = `true, as ${field}.isolated is true`;
  if (!network.isolation) yield ['network', 'capabilities.isolation', why, false];
  if (network.hypervisorNetwork) return;
  if (!firewall.enforces) yield ['firewall', 'capabilities.enforces', why, false];
  else if (!firewall.isolation) yield ['firewall', 'capabilities.isolation', why, false];
}

function* podProblems(selected: SelectedPlugins, pods: PodNeeds): Iterable<Problem> {
  const { maxCpus, maxMemoryMib, maxNics } = selected.hypervisor.plugin.capabilities;
  const limits = [
    ['maxCpus', maxCpus, 'pods.cpus', pods.cpus],
    ['maxMemoryMib', maxMemoryMib, 'pods.memoryMib', pods.memoryMib],
    ['maxNics', maxNics, 'pods.nicSlots', pods.nicSlots],
  ] as const;
  for (const [capability, limit, field, asked] of limits) {
    if (asked > limit) yield ['hypervisor', `capabilities.${capability}`, `${asked} or more, as ${field} asks`, limit];
  }
}

function* keepProblems(selected: SelectedPlugins): Iterable<Problem> {
  const { adopt, channels } = selected.hypervisor.plugin.capabilities;
  const { durable, multiProcess } = selected.state.plugin.capabilities;
  const why = 'true, as a kept pod outlives its manager';
  if (!adopt) yield ['hypervisor', 'capabilities.adopt', why, adopt];
  if (!channels.reopen) yield ['hypervisor', 'capabilities.channels.reopen', why, channels.reopen];
  if (!durable) yield ['state', 'capabilities.durable', why, durable];
  if (!multiProcess) yield ['state', 'capabilities.multiProcess', why, multiProcess];
}
