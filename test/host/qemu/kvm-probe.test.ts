import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect } from 'chai';
import { hasCode } from '../../../src/core/errors.js';
import { silentProgress } from '../../../src/core/progress.js';
import { pathTools } from '../../../src/host/path-tools.js';
import { kvmObstacle } from '../../../src/plugins/qemu/kvm/acceleration.js';
import { type ProbeRequest, probe } from '../../../src/plugins/qemu/kvm/probe.js';
import { hasQemu, processesNaming, QemuFixture } from '../../support/qemu-fixture.js';
import { requireOrSkip } from '../../support/require.js';

describe('proof that an accelerator runs a guest', function () {
  this.timeout(120_000);
  let fixture: QemuFixture;
  let request: ProbeRequest;
  before(function () {
    requireOrSkip(this, hasQemu, 'qemu-system-x86_64 is not installed');
  });
  beforeEach(async () => {
    fixture = new QemuFixture();
    const { signal } = new AbortController();
    const locate = async (name: string) => (await pathTools.locate(name, { signal, progress: silentProgress })).path;
    request = {
      qemuPath: await locate('qemu-system-x86_64'),
      qemuEnv: {},
      firmwareArgs: [],
      tools: { setpriv: await locate('setpriv'), prlimit: await locate('prlimit'), env: await locate('env') },
      accelerator: 'tcg',
      machine: 'q35',
      cpuModel: 'max',
      kernelPath: undefined,
      timeoutMs: 30_000,
      signal,
    };
  });
  afterEach(() => {
    fixture.dispose();
    expect(processesNaming('hyperplug-probe-')).to.deep.equal([]);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('hyperplug-probe-'))).to.deep.equal([]);
  });

  for (const machine of ['q35', 'pc'] as const) {
    it(`the test guest comes to its end under TCG on ${machine}`, async () => {
      expect(await probe({ ...request, machine })).to.deep.include({ works: true });
    });
  }

  it('the kernel has to end by itself, too', async () => {
    expect(await probe({ ...request, kernelPath: fixture.kernel('powerOff') })).to.deep.include({ works: true });
  });

  it('a kernel that hangs is no proof, and is ended', async () => {
    const verdict = await probe({ ...request, kernelPath: fixture.kernel('halt'), timeoutMs: 100 });
    expect(verdict).to.deep.equal({
      works: false,
      cpuModel: 'max',
      reason: 'the kernel did not come to its end in 0.5 s',
    });
  });

  it('a guest that has no time is no proof', async () => {
    const verdict = await probe({ ...request, timeoutMs: 1 });
    expect(verdict.works).to.equal(false);
    expect(verdict.reason).to.equal('a test guest did not come to its end in 0.001 s');
  });

  it('tells the words of a QEMU that refuses', async () => {
    const verdict = await probe({ ...request, cpuModel: 'no-such-model' });
    expect(verdict.works).to.equal(false);
    expect(verdict.reason).to.include('no-such-model');
  });

  it('ends with the call', async () => {
    const error = await probe({ ...request, signal: AbortSignal.timeout(20) }).catch((reason: unknown) => reason);
    expect(hasCode(error, 'TIMEOUT')).to.equal(true);
  });

  it('gives a verdict on KVM within its time, also where there is none', async () => {
    const obstacle = kvmObstacle();
    const verdict = await probe({ ...request, accelerator: 'kvm', timeoutMs: 3_000 });
    expect(verdict.reason).to.not.equal('');
    if (obstacle !== undefined) expect(verdict.works, obstacle.reason).to.equal(false);
  });
});
