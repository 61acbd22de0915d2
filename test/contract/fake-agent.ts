import type { AgentCapabilities } from '../../src/core/agent.js';
import {
  type AgentPrograms,
  agentContract,
  type ContractRunner,
  type ContractTimeouts,
  channelPair,
  FAKE_AGENT_CAPABILITIES,
  FAKE_CHANNEL,
  FAKE_FEATURES,
  FakeAgent,
  type FakeAgentOptions,
  FakeGuest,
} from '../../src/testing/index.js';

export interface FakeAgentSuite {
  readonly runner: ContractRunner;
  readonly label?: string;
  readonly capabilities?: Partial<Omit<AgentCapabilities, 'channels'>>;
  readonly timeouts?: Partial<ContractTimeouts>;
  readonly agent?: new (options: FakeAgentOptions) => FakeAgent;
  readonly guest?: () => FakeGuest;
}

export const FAKE_ARGV: AgentPrograms = {
  succeed: ['true'],
  exit: (code) => ['exit', String(code)],
  cat: ['cat'],
  print: (out, err) => ['print', out, err],
  sleep: ['sleep', '60'],
  flood: (bytes) => ['flood', String(bytes)],
  printEnv: (name) => ['printenv', name],
  workingDirectory: ['pwd'],
  missing: ['no-such-program'],
  terminalSize: ['size'],
  terminalSizeAfterLine: ['size-after-line'],
};

const NICS = [
  { mac: '02:00:00:00:00:0a', expectedName: 'eth0' },
  { mac: '02:00:00:00:00:0b', expectedName: 'eth1' },
];

/** The agent suite on FakeAgent and FakeGuest, or on variants of them. */
export function fakeAgentContract(suite: FakeAgentSuite): void {
  const { runner, label = 'fake', timeouts = {}, agent: Agent = FakeAgent, guest = () => new FakeGuest() } = suite;
  agentContract({
    runner,
    label,
    timeouts,
    capabilities: { ...FAKE_AGENT_CAPABILITIES, ...suite.capabilities },
    features: FAKE_FEATURES,
    programs: FAKE_ARGV,
    nicCount: NICS.length,
    container: { root: { kind: 'directory', path: '/image' } },
    create: () => new Agent({ capabilities: suite.capabilities ?? {} }),
    peer() {
      const fake = guest();
      const [hostEnd, guestEnd] = channelPair();
      for (const { mac } of NICS) fake.nicPlugged({ mac, mtu: 1500 });
      fake.channelOpened(FAKE_CHANNEL, guestEnd);
      return { channels: [hostEnd], nics: NICS, release: () => fake.halted() };
    },
  });
}
