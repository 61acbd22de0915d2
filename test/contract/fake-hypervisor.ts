import type { HypervisorCapabilities, HypervisorDriver, HypervisorVm } from '../../src/core/hypervisor.js';
import type { FakeHypervisorOptions } from '../../src/testing/index.js';
import {
  type ContractRunner,
  type ContractTimeouts,
  FAKE_HYPERVISOR_CAPABILITIES,
  FakeGuest,
  FakeHypervisor,
  FakeMachine,
  hypervisorContract,
} from '../../src/testing/index.js';

export interface FakeHypervisorSuite {
  readonly runner: ContractRunner;
  readonly label?: string;
  readonly capabilities?: Partial<HypervisorCapabilities>;
  readonly timeouts?: Partial<ContractTimeouts>;
  /** Default: the healthy one. */
  readonly driver?: new (
    options: FakeHypervisorOptions,
  ) => FakeHypervisor;
}

const ECHO = 'contract.echo';

/** The hypervisor suite on FakeHypervisor, or on a variant of it. */
export function fakeHypervisorContract(suite: FakeHypervisorSuite): void {
  const { runner, label = 'fake', timeouts = {}, driver: Driver = FakeHypervisor } = suite;
  const capabilities = { ...FAKE_HYPERVISOR_CAPABILITIES, ...suite.capabilities };
  const machine = new FakeMachine();
  const guests = new Map<string, FakeGuest>();
  let taps = 0;
  const guestOf = (vm: HypervisorVm) => guests.get(vm.id) as FakeGuest;
  const fake = (driver: HypervisorDriver) => driver as FakeHypervisor;
  hypervisorContract({
    runner,
    label,
    capabilities,
    timeouts,
    readsKernel: false,
    create: () =>
      new Driver({
        machine,
        capabilities: suite.capabilities ?? {},
        guest(spec) {
          const guest = new FakeGuest({ echoChannels: [ECHO] });
          guests.set(spec.id, guest);
          return guest;
        },
      }),
    spec: {
      cpus: 1,
      memoryMib: 64,
      kernelPath: '/kernel',
      initramfsPath: '/initramfs',
      kernelArgs: [],
      channels: [ECHO, 'contract.other'],
    },
    guest: {
      echoesOnChannel: ECHO,
      answersPowerButton: true,
      unplugsNics: true,
      macs: async (vm) =>
        guestOf(vm)
          .network.read()
          .links.map(({ mac }) => mac),
      powerOff: async (vm) => guestOf(vm).powerOff(),
      panic: async (vm) => guestOf(vm).panic(),
      linkDown: async (vm, { mac }) => guestOf(vm).network.takeDown(mac),
      async keepNics(vm) {
        const guest = guestOf(vm);
        guest.onNicWanted = 'ignore';
        return async () => guest.releaseNics();
      },
    },
    endpoint(nicId) {
      const name = `faketap${++taps}`;
      machine.taps.set(name, { name, owner: nicId, holder: undefined });
      return { endpoint: { kind: 'tap-name', name }, release: () => void machine.taps.delete(name) };
    },
    host: {
      leftovers: (id) => machine.mentioning(id),
      reap(id) {
        for (const { identity, argv } of [...machine.processes.values()]) {
          if (argv.includes(id)) machine.signal(identity.pid, 'SIGKILL');
        }
      },
      signal: (pid, signal) => void machine.signal(pid, signal),
      bystander() {
        const process = machine.spawn(['bystander']);
        return {
          identity: process.identity,
          alive: () => machine.find(process.identity) !== undefined,
          end: () => machine.exit(process.identity),
        };
      },
    },
    inject: {
      launch: (driver) => fake(driver).faults.plan('launch'),
      attach: (driver) => fake(driver).faults.plan('attach'),
      detach: (driver) => fake(driver).faults.plan('detach'),
      save: (driver) => fake(driver).faults.plan('save'),
    },
  });
}
