import type { FirewallCapabilities } from '../../src/core/firewall.js';
import type { HypervisorCapabilities } from '../../src/core/hypervisor.js';
import type { NetworkCapabilities } from '../../src/core/network.js';
import {
  PLUGIN_KINDS,
  type PluginKind,
  type PluginKinds,
  type PluginRegistration,
  TOKENS,
} from '../../src/core/plugin.js';
import type { PluginChoice } from '../../src/core/registry/registry.js';

const hypervisor: HypervisorCapabilities = {
  builtinNetwork: true,
  nicEndpoints: ['tap-fd', 'builtin'],
  coldplugNic: true,
  hotplugNic: false,
  liveForwards: false,
  maxNics: 8,
  detachNeedsGuest: 'none',
  linkUp: 'attach',
  pause: false,
  gracefulShutdown: false,
  snapshot: false,
  hotplugCpu: false,
  hotplugMemory: false,
  adopt: true,
  netns: false,
  channels: { creditWindowBytes: null, reopen: true },
  maxCpus: 8,
  maxMemoryMib: 8192,
};
const network: NetworkCapabilities = {
  endpoints: ['builtin'],
  hypervisorNetwork: true,
  needsRoot: false,
  multipleNetworks: false,
  families: [4],
  staticAddress: false,
  podToPod: false,
  isolation: true,
  publish: ['tcp'],
  livePublish: false,
  mtu: { min: 1280, max: 1500 },
};
const firewall: FirewallCapabilities = {
  families: [4, 6],
  protocols: [],
  enforces: false,
  isolation: false,
  localhost: false,
  hairpin: false,
  needsRoot: false,
};

/** Capabilities of each kind that fit each other. */
export const CAPABILITIES: { readonly [K in PluginKind]: PluginKinds[K]['capabilities'] } = {
  hypervisor,
  network,
  firewall,
  agent: { channels: ['control', 'streams'], terminal: true, files: true, onlineCpuMemory: false },
  'address-pool': { families: [4, 6], shortestPrefix: { 4: 8, 6: 64 }, durable: true },
  state: { durable: true, multiProcess: true },
};

const METHODS: { readonly [K in PluginKind]: string } = {
  hypervisor: 'launch adopt destroy initNetwork',
  network: 'init allocateAddress releaseAddress attach detach status teardown',
  firewall: 'ensureNetwork removeNetwork publish unpublish published check repair',
  agent: 'connect',
  'address-pool': 'register unregister request release releaseOwner list usage',
  state: 'get list unreadable transaction',
};

/** A service that has every method of its contract, each of which resolves; `start` and `stop` are recorded in `log`. */
export function fakeService(kind: PluginKind, name: string, log: string[] = []): Record<string, unknown> {
  const service: Record<string, unknown> = { name, capabilities: CAPABILITIES[kind] };
  for (const method of METHODS[kind].split(' ')) service[method] = async () => {};
  service.start = async () => void log.push(`start ${kind}`);
  service.stop = async () => void log.push(`stop ${kind}`);
  return service;
}

/** A plain value of a plugin's shape, as a third party may write it. */
export function fakePlugin(kind: PluginKind, service: unknown = fakeService(kind, 'fake')): Record<string, unknown> {
  return {
    name: 'fake',
    kind,
    apiVersion: 1,
    capabilities: CAPABILITIES[kind],
    register({ bind }: PluginRegistration) {
      bind<unknown>(TOKENS[kind])
        .toDynamicValue(() => service)
        .inSingletonScope();
    },
  };
}

/** One fake of each kind; `services` replaces those of some kinds. */
export function fakePlugins(log: string[] = [], services: Partial<Record<PluginKind, unknown>> = {}) {
  return PLUGIN_KINDS.map((kind) => fakePlugin(kind, services[kind] ?? fakeService(kind, 'fake', log)));
}

export const FAKE_CHOICE = Object.fromEntries(
  PLUGIN_KINDS.map((kind) => [kind, { name: 'fake' }]),
) as unknown as PluginChoice;
