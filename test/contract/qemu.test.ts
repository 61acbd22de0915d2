import { qemuCapabilities } from '../../src/plugins/qemu/driver.js';
import { hypervisorContract } from '../../src/testing/index.js';
import { hasQemu, processesNaming, QemuFixture } from '../support/qemu-fixture.js';
import { requireOrSkip } from '../support/require.js';

describe('plugin qemu', function () {
  this.timeout(120_000);
  const fixture = new QemuFixture();
  before(function () {
    requireOrSkip(this, hasQemu, 'qemu-system-x86_64 is not installed');
  });
  after(() => fixture.dispose());

  const { cpus, memoryMib, kernelPath, initramfsPath, kernelArgs, channels } = fixture.spec('cooperate');
  hypervisorContract({
    runner: { describe, it, before, after, beforeEach, afterEach },
    label: 'qemu (TCG, a guest without an operating system)',
    capabilities: qemuCapabilities,
    create: () => fixture.driver(),
    spec: { cpus, memoryMib, kernelPath, initramfsPath, kernelArgs, channels },
    guest: { answersPowerButton: true, unplugsNics: true },
    host: {
      reap(id) {
        for (const pid of processesNaming(id)) process.kill(pid, 'SIGKILL');
      },
    },
  });
});
