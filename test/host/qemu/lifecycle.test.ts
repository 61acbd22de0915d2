import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { hasCode } from '../../../src/core/errors.js';
import type { VmEvent } from '../../../src/core/hypervisor.js';
import { sameProcess } from '../../../src/host/process.js';
import { hasQemu, QemuFixture } from '../../support/qemu-fixture.js';
import { requireOrSkip } from '../../support/require.js';

const call = () => ({ signal: AbortSignal.timeout(60_000) });
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.fail('it did not reject'),
    (error: unknown) => error,
  );

describe('QEMU: life of a VM', function () {
  this.timeout(120_000);
  let fixture: QemuFixture;
  before(function () {
    requireOrSkip(this, hasQemu, 'qemu-system-x86_64 is not installed');
  });
  beforeEach(() => {
    fixture = new QemuFixture();
  });
  afterEach(() => fixture.dispose());

  it('launches, pauses, resumes, is killed, and leaves nothing', async () => {
    const spec = fixture.spec('halt');
    const vm = await fixture.driver().launch(spec, call());
    const events: VmEvent['type'][] = [];
    vm.onEvent((event) => events.push(event.type));
    expect(vm.state).to.equal('running');
    await vm.pause(call());
    await vm.pause(call());
    expect(vm.state).to.equal('paused');
    await vm.resume(call());
    expect(vm.state).to.equal('running');
    const exit = await vm.kill(call());
    expect(exit).to.deep.include({ reason: 'killed', signal: 'SIGKILL' });
    expect(await vm.kill(call())).to.equal(exit);
    expect(events).to.deep.equal(['paused', 'resumed', 'exited']);
    expect(vm.state).to.equal('exited');
    expect(hasCode(await failure(vm.pause(call())), 'VM_NOT_RUNNING')).to.equal(true);
    expect(fixture.leftovers(spec)).to.deep.equal([]);
  });

  it('appends the console to the log', async () => {
    const spec = fixture.spec('hello');
    const vm = await fixture.driver().launch(spec, call());
    const end = Date.now() + 30_000;
    while (!readFileSync(spec.consoleLogPath, 'utf8').includes('Q\n')) {
      if (Date.now() > end) expect.fail('nothing came on the console');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await vm.kill(call());
  });

  for (const [guest, reason] of [
    ['powerOff', 'shutdown'],
    ['reset', 'shutdown'],
    ['panic', 'panicked'],
  ] as const) {
    it(`tells the end of a guest that does ${guest}: ${reason}`, async () => {
      const spec = fixture.spec(guest);
      const vm = await fixture.driver().launch(spec, call());
      const exit = await vm.exited;
      expect(exit).to.deep.include({ reason, exitCode: 0, signal: null });
      expect(fixture.leftovers(spec)).to.deep.equal([]);
    });
  }

  it('tells a signal from outside', async () => {
    const spec = fixture.spec('halt');
    const vm = await fixture.driver().launch(spec, call());
    process.kill(vm.record().process.pid, 'SIGTERM');
    expect((await vm.exited).reason).to.equal('killed');
    expect(sameProcess(vm.record().process)).to.equal(false);
  });
});
