import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HyperstartAgent } from '../../src/plugins/hyperstart/agent.js';
import plugin from '../../src/plugins/hyperstart/index.js';
import { agentContract } from '../../src/testing/index.js';
import { AgentProgram, agentNeeds } from '../support/agent-program.js';
import { busybox, makeBusyboxTree } from '../support/busybox-tree.js';
import { requireOrSkip } from '../support/require.js';

const NICS = [
  { mac: '02:00:00:00:00:0a', expectedName: 'veth0' },
  { mac: '02:00:00:00:00:0b', expectedName: 'veth1' },
];

const image = join(tmpdir(), `hyperplug-contract-image-${process.pid}`);

describe('with the agent of this package as a program of the host', () => {
  before(async function () {
    this.timeout(120_000);
    requireOrSkip(this, ...(await agentNeeds()));
    requireOrSkip(this, busybox !== undefined, 'a static busybox is not installed');
    makeBusyboxTree(image);
    await AgentProgram.build();
  });

  after(async () => {
    await AgentProgram.remove();
    rmSync(image, { recursive: true, force: true });
  });

  for (const creditWindowBytes of [null, 2048]) {
    agentContract({
      runner: { describe, it, before, after, beforeEach, afterEach },
      label: `hyperstart${creditWindowBytes === null ? '' : `, at most ${creditWindowBytes} bytes unread`}`,
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
      create: () => new HyperstartAgent({ nicTimeoutMs: 300 }),
      nicCount: NICS.length,
      container: { root: { kind: 'directory', path: image } },
      async peer() {
        const program = await AgentProgram.start();
        const channels = await program.channels();
        for (const [at, { mac, expectedName }] of NICS.entries()) await program.plug(mac, expectedName, `peer${at}`);
        const machineIdPath = `${program.directory}/root/etc/machine-id`;
        return { channels, creditWindowBytes, nics: NICS, machineIdPath, release: () => program.stop() };
      },
    });
  }
});
