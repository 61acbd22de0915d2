import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { HyperplugError, hasCode } from '../../../../src/core/errors.js';
import { accelerationDiagnosis } from '../../../../src/plugins/qemu/driver.js';
import { AccelerationChooser, kvmObstacle, type ProbeTarget } from '../../../../src/plugins/qemu/kvm/acceleration.js';
import type { ProbeRequest } from '../../../../src/plugins/qemu/kvm/probe.js';
import { type KvmVerdict, VerdictStore } from '../../../../src/plugins/qemu/kvm/verdict.js';
import { type QemuOptions, qemuOptions } from '../../../../src/plugins/qemu/options.js';

describe('choice of the accelerator', () => {
  let directory: string;
  let probes: ProbeRequest[];
  let verdict: (request: ProbeRequest) => Promise<KvmVerdict>;
  let target: ProbeTarget;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'hpkvm-'));
    const qemuPath = join(directory, 'qemu');
    const kernelPath = join(directory, 'kernel');
    writeFileSync(qemuPath, 'qemu');
    writeFileSync(kernelPath, 'kernel');
    probes = [];
    verdict = async ({ cpuModel }) => ({
      works: false,
      cpuModel,
      reason: 'a test guest did not come to its end in 3 s',
    });
    const tools = { setpriv: '/s', prlimit: '/p', env: '/e' };
    target = { qemuPath, qemuEnv: {}, firmwareArgs: [], tools, kernelPath, signal: new AbortController().signal };
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const chooser = (options: Partial<QemuOptions> = {}, obstacle: typeof kvmObstacle = () => undefined) =>
    new AccelerationChooser(
      qemuOptions.parse(options),
      join(directory, 'cache'),
      (request) => {
        probes.push(request);
        return verdict(request);
      },
      obstacle,
    );

  it('takes what is configured without a probe', async () => {
    expect((await chooser({ acceleration: 'tcg' }).choose(target)).accelerator).to.equal('tcg');
    expect((await chooser({ acceleration: 'kvm' }).choose(target)).accelerator).to.equal('kvm');
    expect(probes).to.deep.equal([]);
  });

  it('does not believe in a device that opens: a guest has to run', async () => {
    const choice = await chooser().choose(target);
    expect(choice).to.deep.include({ accelerator: 'tcg', obstacle: 'broken' });
    const { status, summary } = accelerationDiagnosis(choice);
    expect(status).to.equal('warn');
    expect(summary).to.equal(
      '/dev/kvm exists, but a test guest did not come to its end in 3 s: software emulation (TCG) is used',
    );
  });

  it('takes KVM where a guest ran', async () => {
    verdict = async ({ cpuModel }) => ({ works: true, cpuModel, reason: 'a test guest ran' });
    expect(await chooser().choose(target)).to.deep.include({ accelerator: 'kvm', cpuModel: 'max' });
  });

  it('tries without arch-capabilities where QEMU dies of that', async () => {
    verdict = async ({ cpuModel }) =>
      cpuModel === 'max'
        ? { works: false, cpuModel, reason: 'a test guest ended with SIGABRT: error: failed to set MSR 0x10a to 0x69' }
        : { works: true, cpuModel, reason: 'a test guest ran' };
    expect(await chooser().choose(target)).to.deep.include({ accelerator: 'kvm', cpuModel: 'max,-arch-capabilities' });
  });

  it('remembers, across processes, for this QEMU and this kernel', async () => {
    verdict = async ({ cpuModel }) => ({ works: true, cpuModel, reason: 'ran' });
    await chooser().choose(target);
    await chooser().choose(target);
    expect(probes.map(({ kernelPath }) => kernelPath)).to.deep.equal([undefined, target.kernelPath]);
    writeFileSync(target.kernelPath as string, 'a new kernel');
    await chooser().choose(target);
    expect(probes).to.have.length(3);
    writeFileSync(target.qemuPath, 'a new QEMU');
    await chooser().choose(target);
    expect(probes).to.have.length(5);
  });

  it('takes a KVM that runs the test guest and not the kernel for broken', async () => {
    verdict = async ({ cpuModel, kernelPath }) => ({
      works: kernelPath === undefined,
      cpuModel,
      reason: 'the kernel hung',
    });
    expect(await chooser().choose(target)).to.deep.include({ accelerator: 'tcg', obstacle: 'broken' });
    expect((await chooser().choose({ ...target, kernelPath: undefined })).accelerator).to.equal('kvm');
  });

  it('tries no kernel where the test guest fails, nor that one again for a new kernel', async () => {
    await chooser().choose(target);
    writeFileSync(target.kernelPath as string, 'a new kernel');
    await chooser().choose(target);
    expect(probes.map(({ kernelPath }) => kernelPath)).to.deep.equal([undefined]);
  });

  it('probes anew on request, and once for calls at the same time', async () => {
    await chooser().choose(target);
    const again = chooser({ kvmVerdict: 'probe' });
    await Promise.all([again.choose(target), again.choose(target)]);
    expect(probes).to.have.length(2);
  });

  it('forgets with the boot of the host, and makes do with a spoilt file', async () => {
    const cache = join(directory, 'cache2');
    const works = { works: true, cpuModel: 'max', reason: 'ran' };
    await new VerdictStore(cache, 'boot-1').put('key', works);
    expect(await new VerdictStore(cache, 'boot-1').get('key')).to.deep.equal(works);
    expect(await new VerdictStore(cache, 'boot-2').get('key')).to.equal(undefined);
    writeFileSync(join(cache, 'qemu-kvm.json'), '{"version":1,');
    expect(await new VerdictStore(cache, 'boot-1').get('key')).to.equal(undefined);
    await new VerdictStore(cache, 'boot-1').put('key', works);
    expect(JSON.parse(readFileSync(join(cache, 'qemu-kvm.json'), 'utf8')).bootId).to.equal('boot-1');
  });

  it('does not remember a probe that was aborted', async () => {
    verdict = async () => {
      throw new HyperplugError('ABORTED', 'aborted');
    };
    const one = chooser();
    const error = await one.choose(target).catch((reason: unknown) => reason);
    expect(hasCode(error, 'ABORTED')).to.equal(true);
    verdict = async ({ cpuModel }) => ({ works: true, cpuModel, reason: 'ran' });
    expect((await one.choose(target)).accelerator).to.equal('kvm');
  });

  it('tells no device from no permission', async () => {
    const absent = kvmObstacle(join(directory, 'none'));
    expect(absent).to.deep.equal({ kind: 'absent', reason: `there is no ${join(directory, 'none')}` });
    const denied = () => ({ kind: 'permission' as const, reason: '/dev/kvm exists, but this user may not open it' });
    const choice = await chooser({}, denied).choose(target);
    expect(choice).to.deep.include({ accelerator: 'tcg', obstacle: 'permission' });
    expect(accelerationDiagnosis(choice).fix).to.include('group');
    expect(probes).to.deep.equal([]);
  });
});
