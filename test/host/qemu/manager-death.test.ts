import { expect } from 'chai';
import { hasCode } from '../../../src/core/errors.js';
import type { VmRecord, VmSpec } from '../../../src/core/hypervisor.js';
import { sameProcess, waitGone } from '../../../src/host/process.js';
import { Managers } from '../../support/manager-process.js';
import { hasQemu, processesNaming, QemuFixture } from '../../support/qemu-fixture.js';
import { requireOrSkip } from '../../support/require.js';

const call = () => ({ signal: AbortSignal.timeout(60_000) });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('QEMU: death of its manager', function () {
  this.timeout(180_000);
  let fixture: QemuFixture;
  let managers: Managers;
  before(function () {
    requireOrSkip(this, hasQemu, 'qemu-system-x86_64 is not installed');
  });
  beforeEach(() => {
    fixture = new QemuFixture();
    managers = new Managers(fixture.root);
  });
  afterEach(async () => {
    await managers.killAll();
    fixture.dispose();
  });

  const launched = async (spec: VmSpec) => {
    const { manager, lines } = managers.start(spec);
    await lines.next();
    const record = JSON.parse((await lines.next()).value as string) as VmRecord;
    return { manager, record };
  };

  it('ends with it', async () => {
    const { manager, record } = await launched(fixture.spec('halt'));
    expect(sameProcess(record.process)).to.equal(true);
    await managers.kill(manager);
    await waitGone(record.process, call());
  });

  it('ends with it whenever it dies, and another launch in that directory works', async () => {
    const spec = fixture.spec('halt');
    for (const delayMs of [0, 20, 40, 60, 80, 100, 130]) {
      const { manager, lines } = managers.start(spec);
      await lines.next();
      await pause(delayMs);
      await managers.kill(manager);
      const end = Date.now() + 30_000;
      while (processesNaming(spec.runDir).length > 0) {
        if (Date.now() > end) expect.fail(`a process is left, ${delayMs} ms after the launch began`);
        await pause(20);
      }
    }
    const vm = await fixture.driver().launch(spec, call());
    await vm.kill(call());
    expect(fixture.leftovers(spec)).to.deep.equal([]);
  });

  it('runs on when it was launched detached, and is adopted and ended by another', async () => {
    const { manager, record } = await launched(fixture.spec('cooperate', { detached: true }));
    await managers.kill(manager);
    await pause(300);
    expect(sameProcess(record.process)).to.equal(true);
    const vm = await fixture.driver().adopt(record, call());
    await vm.attachNic(fixture.nic('n0'), call());
    await vm.detachNic('n0', call());
    const exit = await vm.shutdown(call());
    expect(exit).to.deep.include({ reason: 'shutdown', exitCode: null });
    expect(sameProcess(record.process)).to.equal(false);
    expect(fixture.leftovers({ runDir: record.runDir } as VmSpec)).to.deep.equal([]);
  });

  it('is found and ended without a record, when its manager died before it had one', async () => {
    const spec = fixture.spec('halt', { detached: true });
    for (const delayMs of [10, 40, 70, 100, 150]) {
      const { manager, lines } = managers.start(spec);
      await lines.next();
      await pause(delayMs);
      await managers.kill(manager);
      await fixture.driver().reap(spec.runDir, call());
      expect(fixture.leftovers(spec), `${delayMs} ms after the launch began`).to.deep.equal([]);
    }
  });

  it('refuses a second launch while another process launches or runs one there', async () => {
    const spec = fixture.spec('halt');
    const { record } = await launched(spec);
    const error = await fixture
      .driver()
      .launch(spec, call())
      .catch((reason: unknown) => reason);
    expect(hasCode(error, 'VM_ALREADY_EXISTS')).to.equal(true);
    expect(sameProcess(record.process)).to.equal(true);
  });
});
