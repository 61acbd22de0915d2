import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { hasCode } from '../../../src/core/errors.js';
import type { VmRecord, VmSpec } from '../../../src/core/hypervisor.js';
import { sameProcess, waitGone } from '../../../src/host/process.js';
import { hasQemu, processesNaming, QemuFixture } from '../../support/qemu-fixture.js';
import { requireOrSkip } from '../../support/require.js';

const MANAGER = fileURLToPath(new URL('../../support/qemu-manager.js', import.meta.url));
const call = () => ({ signal: AbortSignal.timeout(60_000) });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('QEMU: death of its manager', function () {
  this.timeout(180_000);
  let fixture: QemuFixture;
  let managers: ChildProcess[];
  before(function () {
    requireOrSkip(this, hasQemu, 'qemu-system-x86_64 is not installed');
  });
  beforeEach(() => {
    fixture = new QemuFixture();
    managers = [];
  });
  afterEach(async () => {
    for (const manager of managers) await kill(manager);
    fixture.dispose();
  });

  /** A manager in a process of its own; its lines come in order. */
  const start = (spec: VmSpec) => {
    const file = join(fixture.root, `${spec.id}.json`);
    writeFileSync(file, JSON.stringify(spec));
    const manager = spawn(process.execPath, [MANAGER, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    managers.push(manager);
    return { manager, lines: createInterface({ input: manager.stdout! })[Symbol.asyncIterator]() };
  };
  const kill = async (manager: ChildProcess) => {
    if (manager.exitCode !== null || manager.signalCode !== null) return;
    manager.kill('SIGKILL');
    await once(manager, 'exit');
  };
  const launched = async (spec: VmSpec) => {
    const { manager, lines } = start(spec);
    await lines.next();
    const record = JSON.parse((await lines.next()).value as string) as VmRecord;
    return { manager, record };
  };

  it('ends with it', async () => {
    const { manager, record } = await launched(fixture.spec('halt'));
    expect(sameProcess(record.process)).to.equal(true);
    await kill(manager);
    await waitGone(record.process, call());
  });

  it('ends with it whenever it dies, and another launch in that directory works', async () => {
    const spec = fixture.spec('halt');
    for (const delayMs of [0, 20, 40, 60, 80, 100, 130]) {
      const { manager, lines } = start(spec);
      await lines.next();
      await pause(delayMs);
      await kill(manager);
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
    await kill(manager);
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
      const { manager, lines } = start(spec);
      await lines.next();
      await pause(delayMs);
      await kill(manager);
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
