import { HyperstartAgent } from '../../src/plugins/hyperstart/agent.js';
import plugin from '../../src/plugins/hyperstart/index.js';
import { type AgentPrograms, agentContract } from '../../src/testing/index.js';
import { FakeAgent } from '../support/fake-agent/peer.js';

const runner = { describe, it, before, after, beforeEach, afterEach };

const PROGRAMS: AgentPrograms = {
  succeed: ['true'],
  exit: (code) => ['exit', String(code)],
  cat: ['cat'],
  print: (out, err) => ['print', out, err],
  sleep: ['sleep'],
  flood: (bytes) => ['zeros', String(bytes)],
  printEnv: (name) => ['printenv', name],
  workingDirectory: ['pwd'],
  missing: ['/no/such/program'],
  terminalSize: ['size'],
  terminalSizeAfterLine: ['size', 'after-line'],
};

const NICS = [
  { mac: '02:00:00:00:00:0a', expectedName: 'eth0' },
  { mac: '02:00:00:00:00:0b', expectedName: 'eth1' },
];

for (const { label, resumed = false, creditWindowBytes = null } of [
  { label: 'hyperstart with a guest in memory' },
  { label: 'hyperstart with a guest that has run before', resumed: true },
  { label: 'hyperstart with a guest on weak channels', creditWindowBytes: 2048 },
]) {
  agentContract({
    runner,
    label,
    capabilities: plugin.capabilities,
    features: {
      nicByMac: true,
      readNetwork: true,
      errorTexts: true,
      streamCredit: true,
      ipv6: true,
      containers: true,
      volumes: true,
      renewal: true,
      stats: true,
    },
    create: () => new HyperstartAgent({ nicTimeoutMs: 200 }),
    programs: PROGRAMS,
    nicCount: NICS.length,
    peer() {
      const fake = new FakeAgent({ resumed });
      for (const { mac, expectedName } of NICS) fake.network.plug(mac, expectedName);
      return { channels: fake.channels, creditWindowBytes, resumed, nics: NICS, release: () => fake.die() };
    },
  });
}
