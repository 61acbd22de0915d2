import type { HypervisorVm, VmNic } from '../../src/core/hypervisor.js';
import { umlCapabilities } from '../../src/plugins/uml/capabilities.js';
import { hypervisorContract } from '../../src/testing/index.js';
import { processesNaming } from '../support/qemu-fixture.js';
import { requireOrSkip } from '../support/require.js';
import { command, ECHO, hasUml, ready, UmlFixture } from '../support/uml-fixture.js';

describe('plugin uml', function () {
  this.timeout(120_000);
  const fixture = new UmlFixture();
  before(async function () {
    this.timeout(600_000);
    requireOrSkip(this, hasUml, 'linux.uml or slirp4netns is not installed');
    await fixture.prepare();
  });
  after(() => fixture.dispose());

  const { cpus, memoryMib, kernelPath, initramfsPath, kernelArgs, channels } = fixture.spec();
  const contract = {
    runner: { describe, it, before, after, beforeEach, afterEach },
    capabilities: umlCapabilities,
    create: () => fixture.driver(),
    readsKernel: false,
    spec: { cpus, memoryMib, kernelPath, initramfsPath, kernelArgs, channels },
    guest: {
      echoesOnChannel: ECHO,
      answersPowerButton: true,
      ready,
      macs: async (vm: HypervisorVm) => (await command(vm, 'macs'))?.split(' ') ?? [],
      linkDown: async (vm: HypervisorVm, { mac }: VmNic) => void (await command(vm, `down ${mac}`)),
      linkUp: async (vm: HypervisorVm, { mac }: VmNic) => void (await command(vm, `up ${mac}`)),
      powerOff: async (vm: HypervisorVm) => void (await command(vm, 'off')),
      panic: async (vm: HypervisorVm) => void (await command(vm, 'panic').catch(() => {})),
    },
    host: {
      reap(id: string) {
        for (const pid of processesNaming(id)) process.kill(pid, 'SIGKILL');
      },
    },
  };
  hypervisorContract({ ...contract, label: 'uml (user-mode network)' });
  hypervisorContract({
    ...contract,
    label: 'uml (interfaces of its namespace)',
    endpoint: () => ({ endpoint: { kind: 'interface', name: 'lo' } }),
  });
});
