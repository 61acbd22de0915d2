import { expect } from 'chai';
import { closeAll } from '../../src/plugins/netlink/host-nic.js';
import { openTap } from '../../src/plugins/netlink/tap.js';
import { qemuCapabilities } from '../../src/plugins/qemu/capabilities.js';
import { hypervisorContract } from '../../src/testing/index.js';
import { TestNamespace } from '../support/netns.js';
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
  const contract = {
    runner: { describe, it, before, after, beforeEach, afterEach },
    capabilities: qemuCapabilities,
    create: () => fixture.driver(),
    spec: { cpus, memoryMib, kernelPath, initramfsPath, kernelArgs, channels },
    guest: { answersPowerButton: true, unplugsNics: true },
    host: {
      reap(id: string) {
        for (const pid of processesNaming(id)) process.kill(pid, 'SIGKILL');
      },
    },
  };
  hypervisorContract({ ...contract, label: 'qemu (TCG, a guest without an operating system)' });

  describe('with taps', () => {
    let namespace: TestNamespace;
    let serial = 0;
    before(function () {
      const reason = TestNamespace.unavailable();
      requireOrSkip(this, reason === undefined, reason ?? '');
      namespace = new TestNamespace();
    });
    after(() => {
      const left = namespace?.links();
      namespace?.delete();
      expect(left ?? ['lo'], 'taps left').to.deep.equal(['lo']);
    });
    hypervisorContract({
      ...contract,
      label: 'qemu (TCG, taps by descriptor)',
      endpoint() {
        const { fds } = openTap(`contract${++serial}`, 1, namespace.path);
        return { endpoint: { kind: 'tap-fd', fds, vnetHdr: true }, release: () => closeAll(fds) };
      },
    });
  });
});
