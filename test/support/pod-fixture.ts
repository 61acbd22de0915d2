import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { GuestAgent } from '../../src/core/agent.js';
import type { HypervisorCapabilities, ProcessIdentity } from '../../src/core/hypervisor.js';
import type { NetworkCapabilities, NetworkSpec } from '../../src/core/network.js';
import { Wake } from '../../src/core/pod/events/wake.js';
import type { HeldPod } from '../../src/core/pod/held-pod.js';
import { PodManager } from '../../src/core/pod/pod-manager.js';
import { PodStore } from '../../src/core/pod/pod-store.js';
import { EnginePods } from '../../src/core/pod/pods.js';
import type { PodServices } from '../../src/core/pod/services.js';
import type { RootImageProvider } from '../../src/core/rootfs.js';
import { acquireLock } from '../../src/host/lock.js';
import {
  FakeAgent,
  FakeGuest,
  FakeHypervisor,
  FakeMachine,
  FakeNetwork,
  FakeStateStore,
} from '../../src/testing/index.js';

export const NETWORKS: readonly NetworkSpec[] = [
  { name: 'default', subnets: ['10.90.0.0/24', 'fd90::/64'], mtu: 1500, isolated: false, dns: ['10.90.0.1'] },
  { name: 'back', subnets: ['10.91.0.0/24'], mtu: 1400, isolated: false, dns: [] },
  { name: 'tiny', subnets: ['10.92.0.0/30'], mtu: 1500, isolated: false, dns: [] },
];

export interface PodFixtureOptions {
  readonly hypervisor?: Partial<HypervisorCapabilities>;
  readonly network?: Partial<NetworkCapabilities>;
  readonly agent?: GuestAgent;
  /** The guest of each VM. */
  readonly guest?: (id: string) => FakeGuest;
  readonly rootImages?: RootImageProvider;
}

/** Pods on fakes: a machine in memory whose managers come and go. */
export class PodFixture {
  readonly root = mkdtempSync(join(tmpdir(), 'hp-pods-'));
  readonly machine = new FakeMachine();
  readonly state = new FakeStateStore();
  readonly guests: FakeGuest[] = [];
  hypervisor!: FakeHypervisor;
  network!: FakeNetwork;
  manager!: PodManager;
  /** This manager's process. */
  self!: ProcessIdentity;
  pods!: EnginePods;
  store!: PodStore;
  readonly #options: PodFixtureOptions;

  constructor(options: PodFixtureOptions = {}) {
    this.#options = options;
    this.restart();
  }

  /** A new manager on the same machine, as after the death of the old one. */
  restart(): void {
    const { machine } = this;
    const guest = ({ id }: { readonly id: string }) => {
      const made = this.#options.guest?.(id) ?? new FakeGuest();
      this.guests.push(made);
      return made;
    };
    const { hypervisor, network, agent = new FakeAgent() } = this.#options;
    this.hypervisor = new FakeHypervisor({ machine, guest, ...(hypervisor && { capabilities: hypervisor }) });
    const backend = new FakeNetwork({ machine, ...(network && { capabilities: network }) });
    this.network = backend;
    const self = machine.spawn(['manager']).identity;
    const wake = new Wake(join(this.root, 'state'));
    this.store = new PodStore(this.state, () => wake.announce());
    this.pods = new EnginePods({
      manager: async () => this.manager,
      ready: async () => {
        await backend.init(NETWORKS, { signal: AbortSignal.timeout(10_000) });
        return this.manager;
      },
      checkKeep: () => {},
    });
    const services: PodServices = {
      driver: this.hypervisor,
      backend,
      agent,
      store: this.store,
      host: {
        self: async () => self,
        alive: async (identity) => machine.find(identity) !== undefined,
        gone: async (identity, { signal }) => {
          while (machine.find(identity)) await delay(5, undefined, { signal });
        },
        usage: async () => ({ cpuMs: 0, memoryPssBytes: 0 }),
        lock: (path, purpose, signal) => acquireLock(path, { purpose, signal, exclusive: true }),
      },
      image: async () => ({ kernelPath: '/kernel', initramfsPath: '/initramfs', kernelArgs: [], description: 'none' }),
      directories: { state: join(this.root, 'state'), runtime: join(this.root, 'run') },
      defaults: { cpus: 1, memoryMib: 128, nicSlots: 3, network: 'default' },
      bootTimeoutMs: 30_000,
      kernelArgs: [],
      networks: NETWORKS,
      prepareHost: async () => {},
      initNetworks: (only, call) => backend.init(NETWORKS, { ...call, only }),
      ...(this.#options.rootImages && { rootImages: this.#options.rootImages }),
    };
    this.self = self;
    this.manager = new PodManager(services, wake, this.pods);
  }

  async pod(spec: object = {}): Promise<HeldPod> {
    await this.network.init(NETWORKS, { signal: AbortSignal.timeout(10_000) });
    return this.manager.create({ id: 'p', ...spec }, {});
  }

  get guest(): FakeGuest {
    return this.guests.at(-1) as FakeGuest;
  }

  record(id = 'p') {
    return this.store.read(id, { signal: AbortSignal.timeout(10_000) });
  }

  /** All that a pod leaves on the machine, in words. */
  traces(): { taps: string[]; addresses: string[] } {
    return {
      taps: [...this.machine.taps.values()].map(({ owner, holder }) => `${owner} held by ${holder}`).sort(),
      addresses: this.network.leases().sort(),
    };
  }

  leftovers(): string[] {
    const { taps, addresses } = this.traces();
    const pods = readdirSync(this.root, { recursive: true }).map(String);
    return [...taps, ...addresses, ...pods.filter((path) => /pods\/./.test(path))];
  }

  dispose(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
