import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CallOptions } from '../../src/core/calls.js';
import { throwIfAborted } from '../../src/core/calls.js';
import type { GcReport } from '../../src/core/gc/types.js';
import type { HostServices } from '../../src/core/host-services.js';
import type { HypervisorCapabilities } from '../../src/core/hypervisor.js';
import type { PluginKind, PluginRegistration } from '../../src/core/plugin.js';
import { TOKENS } from '../../src/core/plugin.js';
import type { Hyperplug } from '../../src/core/pod/types.js';
import { acquireLock } from '../../src/host/lock.js';
import { createHyperplug } from '../../src/hyperplug.js';
import {
  FakeAddressPool,
  FakeAgent,
  FakeFirewall,
  FakeGuest,
  FakeHypervisor,
  FakeMachine,
  FakeNetwork,
  FakePoolMedium,
  FakeStateMedium,
  FakeStateStore,
} from '../../src/testing/index.js';
import { elfKernel } from '../unit/guest/image/synthetic-kernel.js';
import { TapHypervisor } from './tap-hypervisor.js';

const STATE = { durable: true, multiProcess: true };
const FAKE_PARTS = { firewall: { driver: 'fake' }, addressPool: { driver: 'fake' }, state: { driver: 'fake' } };
const realParts = (netns: string) => ({ firewall: { driver: 'iptables', iptables: { netns } } });

export interface EngineWish {
  readonly serves?: boolean;
  /** `fake`, where missing, or `second`, on the same machine. */
  readonly driver?: string;
  /** HostServices.session. */
  readonly session?: string;
}

/** A machine in memory, and the real engine on it: any number of managers that come and go. */
export class FakeWorld {
  readonly root = mkdtempSync(join(tmpdir(), 'hp-world-'));
  readonly machine = new FakeMachine();
  readonly guests: FakeGuest[] = [];
  readonly #state = new FakeStateMedium();
  readonly #pool = new FakePoolMedium();

  /** With a network namespace: bridges, taps, rules, records and addresses are real; VMs and guests are not. */
  constructor(
    readonly netns?: string,
    private readonly capabilities: Partial<HypervisorCapabilities> = {},
  ) {
    writeFileSync(join(this.root, 'kernel'), elfKernel({ pvh: true }));
    writeFileSync(join(this.root, 'initramfs'), '070701');
    const config = {
      paths: {
        stateDirectory: join(this.root, 'state'),
        runtimeDirectory: join(this.root, 'run'),
        cacheDirectory: join(this.root, 'cache'),
      },
      guest: { kernel: join(this.root, 'kernel'), initramfs: join(this.root, 'initramfs') },
      hypervisor: { driver: 'fake' },
      ...(netns === undefined ? FAKE_PARTS : realParts(netns)),
      agent: { driver: 'fake' },
      pods: { nicSlots: 3 },
      network: {
        backend: netns === undefined ? 'fake' : 'netlink',
        ...(netns !== undefined && { netlink: { netns } }),
        networks: { default: { subnets: ['10.90.0.0/24', 'fd90::/64'] }, back: { subnets: ['10.91.0.0/24'] } },
      },
    };
    writeFileSync(this.configPath, JSON.stringify(config));
  }

  get configPath(): string {
    return join(this.root, 'hyperplug.json');
  }

  /** As another process has it. `die()` is its kill -9: nothing is undone. */
  async engine({ driver, session, ...options }: EngineWish = {}): Promise<Hyperplug> {
    const plugins = this.#plugins();
    const host = { ...this.#host(), ...(session !== undefined && { session }) };
    const overrides =
      driver === undefined ? [] : [{ path: ['hypervisor', 'driver'], value: driver, flag: '--driver' } as const];
    return createHyperplug({ configPath: this.configPath, plugins, host, overrides, ...options });
  }

  /** From outside, as kill -9 does. */
  killVm(pid: number): void {
    if (!this.machine.signal(pid, 'SIGKILL')) throw new Error(`no process ${pid} on the fake machine`);
  }

  leftovers(): string[] {
    const { machine } = this;
    const processes = [...machine.processes.values()].filter(({ argv }) => argv[0] !== 'manager');
    const folders = ['run/pods', 'state/pods', 'run/locks'].flatMap((name) => {
      return filesOf(join(this.root, name)).map((entry) => `${name}/${entry}`);
    });
    const all = filesOf(join(this.root, 'cache/templates'));
    // The lock of launches stays as long as the template does.
    const templates = all.filter((name) => name.startsWith('.') && !all.includes(name.slice(1, -'.lock'.length)));
    return [
      ...templates.map((name) => `template ${name}`),
      ...processes.map(({ argv }) => `process ${argv.join(' ')}`),
      ...[...machine.taps.values()].map(({ name, owner }) => `tap ${name} of ${owner}`),
      ...folders,
    ];
  }

  dispose(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  #host(): HostServices {
    const { machine } = this;
    const self = machine.spawn(['manager']).identity;
    return {
      self: async () => self,
      alive: async (identity) => machine.find(identity) !== undefined,
      gone: async (identity: Parameters<HostServices['alive']>[0], { signal }: CallOptions) => {
        while (machine.find(identity)) {
          throwIfAborted(signal, 'the end of a process');
          await delay(5);
        }
      },
      usage: async () => ({ cpuMs: 0, memoryPssBytes: 0 }),
      lock: (path, purpose, signal, { shared = false } = {}) =>
        acquireLock(path, { purpose, signal, exclusive: !shared }),
    };
  }

  #plugins(): unknown[] {
    const { machine } = this;
    const guest = () => {
      const made = new FakeGuest();
      this.guests.push(made);
      return made;
    };
    const services: Record<PluginKind, { readonly capabilities: object }> = {
      hypervisor:
        this.netns === undefined
          ? new FakeHypervisor({ machine, guest, capabilities: this.capabilities })
          : new TapHypervisor({ machine, guest }),
      network: new FakeNetwork({ machine }),
      firewall: new FakeFirewall(),
      agent: new FakeAgent(),
      'address-pool': new FakeAddressPool({ medium: this.#pool }),
      state: new FakeStateStore({ capabilities: STATE, medium: this.#state }),
    };
    const second = new FakeHypervisor({ machine, guest, name: 'second', capabilities: this.capabilities });
    return [...Object.entries(services), ['hypervisor', second] as const].map(([kind, service]) => ({
      name: service === second ? 'second' : 'fake',
      kind,
      apiVersion: 1,
      capabilities: service.capabilities,
      register({ bind }: PluginRegistration) {
        bind<unknown>(TOKENS[kind as PluginKind])
          .toDynamicValue(() => service)
          .inSingletonScope();
      },
    }));
  }
}

/** Findings in short. */
export const told = ({ findings }: GcReport): string[] =>
  findings.map(({ action, kind, id }) => `${action} ${kind} ${id}`);

function filesOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
