import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import type { HypervisorVm, VmNic } from '../../../src/core/hypervisor.js';
import { closeAll } from '../../../src/plugins/netlink/host-nic.js';
import { openTap } from '../../../src/plugins/netlink/tap.js';
import { eventually as attempts } from '../../support/eventually.js';
import { TestNamespace } from '../../support/netns.js';
import { hasQemu, QemuFixture } from '../../support/qemu-fixture.js';
import { requireOrSkip } from '../../support/require.js';

/** Fails unless it comes true. */
const eventually = (holds: () => boolean) =>
  attempts(async () => {
    if (!holds()) throw new Error(`not so: ${holds}`);
  }, 15_000);
const call = () => ({ signal: AbortSignal.timeout(60_000) });

/** Names of the taps that a process has open, one for each queue. */
function tapsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fdinfo`)
    .map((fd) => /^iff:\t(\S+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1])
    .filter((name) => name !== undefined)
    .sort();
}

describe('QEMU and taps by descriptor', function () {
  this.timeout(120_000);
  let fixture: QemuFixture;
  let namespace: TestNamespace;
  let fdsBefore: number;
  const vms: HypervisorVm[] = [];
  const open: (readonly number[])[] = [];

  before(function () {
    requireOrSkip(this, hasQemu, 'qemu-system-x86_64 is not installed');
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
  });
  beforeEach(() => {
    fixture = new QemuFixture();
    namespace = new TestNamespace();
    fdsBefore = readdirSync('/proc/self/fd').length;
  });
  afterEach(async () => {
    for (const vm of vms.splice(0)) await vm.kill(call()).catch(() => {});
    await closeAll(open.splice(0).flat());
    const left = namespace.links();
    namespace.delete();
    fixture.dispose();
    expect(left, 'links left').to.deep.equal(['lo']);
    await eventually(() => readdirSync('/proc/self/fd').length === fdsBefore);
  });

  function tapNic(id: string, name: string, queues = 1): VmNic & { handOver(): Promise<void> } {
    const { fds } = openTap(name, queues, namespace.path);
    const nic = fixture.nic(id, { queues, endpoint: { kind: 'tap-fd', fds, vnetHdr: true } });
    open.push(fds);
    return { ...nic, handOver: () => closeAll(open.splice(open.indexOf(fds), 1).flat()) };
  }
  async function launch(guest: 'cooperate' | 'halt', changes: Parameters<QemuFixture['spec']>[1] = {}) {
    const vm = await fixture.driver().launch(fixture.spec(guest, changes), call());
    vms.push(vm);
    return vm;
  }
  const gone = (name: string) => eventually(() => !namespace.links().includes(name));

  for (const machine of ['q35', 'pc'] as const) {
    it(`a NIC given at boot holds its tap alone, with all its queues (${machine})`, async () => {
      const nics = [tapNic('one', 'tap-one'), tapNic('two', 'tap-two', 2)];
      const vm = await fixture.driver({ machine }).launch(fixture.spec('halt', { nics, cpus: 2 }), call());
      vms.push(vm);
      for (const nic of nics) await nic.handOver();
      expect(tapsOf(vm.record().process.pid)).to.deep.equal(['tap-one', 'tap-two', 'tap-two']);
      expect(vm.nics().map(({ id }) => id)).to.deep.equal(['one', 'two']);
      await vm.kill(call());
      await gone('tap-one');
      await gone('tap-two');
    });
  }

  it('a NIC is plugged and unplugged while the guest runs; the tap goes with it', async () => {
    const vm = await launch('cooperate');
    const { pid } = vm.record().process;
    for (let round = 0; round < 3; round++) {
      const nics = [tapNic('one', 'tap-one'), tapNic('two', 'tap-two', 2)];
      await Promise.all(nics.map((nic) => vm.attachNic(nic, call())));
      for (const nic of nics) await nic.handOver();
      expect(tapsOf(pid)).to.deep.equal(['tap-one', 'tap-two', 'tap-two']);
      const forward = {
        protocol: 'tcp',
        hostAddress: '127.0.0.1',
        hostPort: 1,
        guestPort: 1,
        guestAddress: '',
      } as const;
      const error = await vm.addForward('one', forward, call()).catch((e) => e);
      expect(error?.code, 'a forward on a tap').to.equal('NOT_SUPPORTED');
      await Promise.all(nics.map((nic) => vm.detachNic(nic.id, call())));
      expect(tapsOf(pid)).to.deep.equal([]);
      await gone('tap-one');
      await gone('tap-two');
    }
  });

  it('what cannot be plugged leaves no descriptor in QEMU, and a retry works', async () => {
    const vm = await launch('cooperate');
    const { pid } = vm.record().process;
    const descriptors = () => readdirSync(`/proc/${pid}/fd`).length;
    const before = descriptors();
    // No tap: QEMU takes the descriptor, and then refuses what it is.
    const bad = fixture.nic('bad', { endpoint: { kind: 'tap-fd', fds: [0], vnetHdr: true } });
    for (let round = 0; round < 3; round++) {
      const error = await vm.attachNic(bad, call()).catch((e) => e);
      expect(error?.code).to.equal('QMP_ERROR');
    }
    const nic = tapNic('one', 'tap-one');
    // The second has this one's MAC in a device that is refused after its backend was made.
    const aborted = await vm.attachNic(nic, { signal: AbortSignal.abort() }).catch((e) => e);
    expect(aborted?.code).to.equal('ABORTED');
    await eventually(() => descriptors() === before);
    await vm.attachNic(nic, call());
    await nic.handOver();
    expect(tapsOf(pid)).to.deep.equal(['tap-one']);
    await vm.detachNic('one', call());
    await gone('tap-one');
    await eventually(() => descriptors() === before);
  });

  it('a detached VM keeps its taps when its manager lets go, and gets new ones from the next', async () => {
    const cold = tapNic('cold', 'tap-cold');
    const first = await launch('cooperate', { detached: true, nics: [cold] });
    await cold.handOver();
    const record = first.record();
    await first.release();
    const driver = fixture.driver();
    const adopted = await driver.adopt(record, call());
    vms.push(adopted);
    expect(tapsOf(record.process.pid)).to.deep.equal(['tap-cold']);
    const hot = tapNic('hot', 'tap-hot', 2);
    await adopted.attachNic(hot, call());
    await hot.handOver();
    expect(tapsOf(record.process.pid)).to.deep.equal(['tap-cold', 'tap-hot', 'tap-hot']);
    await adopted.detachNic('hot', call());
    await gone('tap-hot');
    await adopted.kill(call());
    await gone('tap-cold');
  });
});
