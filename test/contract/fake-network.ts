import type { NetworkCapabilities, NetworkSpec } from '../../src/core/network.js';
import {
  type ContractRunner,
  type ContractTimeouts,
  FAKE_NETWORK_CAPABILITIES,
  FakeMachine,
  FakeNetwork,
  type FakeNetworkOptions,
  networkContract,
} from '../../src/testing/index.js';

export interface FakeNetworkSuite {
  readonly runner: ContractRunner;
  readonly label?: string;
  readonly capabilities?: Partial<NetworkCapabilities>;
  readonly timeouts?: Partial<ContractTimeouts>;
  readonly backend?: new (options: FakeNetworkOptions) => FakeNetwork;
}

/** The network suite on FakeNetwork, or on a variant of it. */
export function fakeNetworkContract(suite: FakeNetworkSuite): void {
  const { runner, label = 'fake', timeouts = {}, backend: Backend = FakeNetwork } = suite;
  const capabilities = { ...FAKE_NETWORK_CAPABILITIES, ...suite.capabilities };
  const machine = new FakeMachine();
  const taps = () => [...machine.taps.keys()].map((name) => `tap ${name}`);
  const subnetsOf = (number: number) => [
    ...(capabilities.families.includes(4) ? [`10.213.${number}.0/24`] : []),
    ...(capabilities.families.includes(6) ? [`fd00:213:${number}::/64`] : []),
  ];
  const spec = (name: string, number: number): NetworkSpec => ({
    name,
    subnets: subnetsOf(number),
    mtu: null,
    isolated: false,
    dns: [],
    ...(!capabilities.hypervisorNetwork && { bridge: `fakebr${number}` }),
  });
  networkContract({
    runner,
    label,
    timeouts,
    capabilities,
    networks: [spec('contract', 1), spec('contract-2', 2)],
    create: () => new Backend({ machine, capabilities: suite.capabilities ?? {} }),
    host: {
      leftovers: () => [...taps(), ...[...machine.bridges.keys()].map((name) => `bridge ${name}`)],
      nicLeftovers: taps,
      reap() {
        machine.taps.clear();
        machine.bridges.clear();
      },
    },
    ...(!capabilities.hypervisorNetwork && { tamper: () => void machine.bridges.delete('fakebr1') }),
    inject: {
      init: (backend) => (backend as FakeNetwork).faults.plan('init'),
      attach: (backend) => (backend as FakeNetwork).faults.plan('attach'),
    },
  });
}
