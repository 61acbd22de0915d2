import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import type { ErrorCode } from '../../../src/core/error-codes.js';
import { type HyperplugError, hasCode } from '../../../src/core/errors.js';
import type { VmSpec } from '../../../src/core/hypervisor.js';
import { hasQemu, processesNaming, QemuFixture } from '../../support/qemu-fixture.js';
import { requireOrSkip } from '../../support/require.js';

const call = () => ({ signal: AbortSignal.timeout(60_000) });
const isRoot = process.getuid?.() === 0;

describe('QEMU: failures leave nothing', function () {
  this.timeout(120_000);
  let fixture: QemuFixture;
  before(function () {
    requireOrSkip(this, hasQemu, 'qemu-system-x86_64 is not installed');
  });
  beforeEach(() => {
    fixture = new QemuFixture();
  });
  afterEach(() => fixture.dispose());

  const refused = async (spec: VmSpec, code: ErrorCode, driver = fixture.driver(), options = call()) => {
    const error = await driver.launch(spec, options).catch((reason: unknown) => reason);
    expect(hasCode(error, code), String((error as Error)?.stack ?? error)).to.equal(true);
    expect(fixture.leftovers(spec)).to.deep.equal([]);
    return error as HyperplugError;
  };

  it('no QEMU', async () => {
    const error = await refused(
      fixture.spec('halt'),
      'VM_HYPERVISOR_FAILED',
      fixture.driver({ binaryPath: '/no/such/qemu', runAs: 'none' }),
    );
    expect(error.message).to.include('/no/such/qemu');
  });

  it('a file that is no kernel', async () => {
    const kernelPath = join(fixture.root, 'text');
    writeFileSync(kernelPath, 'this is no kernel\n'.repeat(1000));
    const error = await refused(fixture.spec('halt', { kernelPath }), 'VM_HYPERVISOR_FAILED');
    expect(error.details.exitCode).to.equal(1);
    expect(error.details.stderrTail).to.be.a('string').and.not.equal('');
  });

  it('a CPU model that QEMU does not know: its words are told', async () => {
    const error = await refused(
      fixture.spec('halt'),
      'VM_HYPERVISOR_FAILED',
      fixture.driver({ cpuModel: 'no-such-model' }),
    );
    expect(error.message).to.include('no-such-model');
  });

  it('a port in use', async () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const forward = {
      protocol: 'tcp',
      hostAddress: '127.0.0.1',
      hostPort: port,
      guestAddress: '10.0.2.15',
      guestPort: 80,
    } as const;
    const nic = fixture.nic('n0');
    const nics = [{ ...nic, endpoint: { ...nic.endpoint, forwards: [forward] } as typeof nic.endpoint }];
    try {
      const error = await refused(fixture.spec('halt', { nics }), 'NET_PORT_IN_USE');
      expect(error.message).to.include(String(port));
    } finally {
      server.close();
    }
  });

  it('QEMU is killed in the middle of the launch', async () => {
    const spec = fixture.spec('halt');
    const killer = setInterval(() => {
      for (const pid of processesNaming(spec.runDir)) process.kill(pid, 'SIGKILL');
    }, 2);
    try {
      const error = await refused(spec, 'VM_HYPERVISOR_FAILED');
      expect(error.details.signal).to.equal('SIGKILL');
    } finally {
      clearInterval(killer);
    }
  });

  it('QEMU hangs before it greets', async () => {
    const spec = fixture.spec('halt');
    const binaryPath = join(fixture.root, 'sleeper');
    writeFileSync(binaryPath, '#!/bin/sh\nexec sleep 60\n');
    chmodSync(binaryPath, 0o755);
    chmodSync(fixture.root, 0o755);
    const driver = fixture.driver({ binaryPath, qmpConnectTimeoutMs: 300 });
    await refused(spec, 'TIMEOUT', driver);
  });

  it('a run directory whose sockets would have too long a path', async () => {
    const runDir = join(fixture.root, 'x'.repeat(100));
    mkdirSync(runDir);
    const error = await refused(fixture.spec('halt', { runDir }), 'VM_SPEC_INVALID');
    expect(error.details.field).to.equal('runDir');
  });

  it('an initramfs that is not there', async () => {
    await refused(fixture.spec('halt', { initramfsPath: join(fixture.root, 'none') }), 'IMAGE_NOT_FOUND');
  });

  it("a kernel that the VM's user may not read, said so before QEMU fails on it", async function () {
    requireOrSkip(this, isRoot, 'needs root, to run QEMU as another user');
    const spec = fixture.spec('halt');
    chmodSync(spec.kernelPath, 0o600);
    const error = await refused(spec, 'IMAGE_NOT_FOUND');
    expect(error.message).to.include('runAs');
    const vm = await fixture.driver({ runAs: 'none' }).launch(spec, call());
    await vm.kill(call());
  });
});

describe('QEMU: confinement', function () {
  this.timeout(120_000);
  let fixture: QemuFixture;
  before(function () {
    requireOrSkip(this, hasQemu, 'qemu-system-x86_64 is not installed');
  });
  beforeEach(() => {
    fixture = new QemuFixture();
  });
  afterEach(() => fixture.dispose());

  const status = (pid: number) => {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    return (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(text)?.[1]?.split(/\s+/) ?? [];
  };

  it('has a seccomp filter, no new privileges, no capabilities, and nothing of our environment', async () => {
    process.env.HYPERPLUG_TEST_SECRET = 'secret';
    try {
      const vm = await fixture.driver().launch(fixture.spec('halt'), call());
      const { pid } = vm.record().process;
      const field = status(pid);
      expect(field('Seccomp')).to.deep.equal(['2']);
      expect(field('NoNewPrivs')).to.deep.equal(['1']);
      if (isRoot) for (const set of ['CapEff', 'CapPrm', 'CapBnd']) expect(field(set)[0]).to.match(/^0+$/);
      expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).to.not.include('secret');
      await vm.kill(call());
    } finally {
      delete process.env.HYPERPLUG_TEST_SECRET;
    }
  });

  it('started by root, each VM has a user of its own', async function () {
    requireOrSkip(this, isRoot, 'needs root');
    const specs = [fixture.spec('halt'), fixture.spec('halt')];
    const driver = fixture.driver();
    const vms = await Promise.all(specs.map((spec) => driver.launch(spec, call())));
    const uids = vms.map((vm) => Number(status(vm.record().process.pid)('Uid')[0]));
    expect(new Set(uids).size).to.equal(2);
    for (const [index, uid] of uids.entries()) {
      expect(uid).to.be.at.least(1_879_100_000);
      expect(statSync(join(specs[index]!.runDir, 's')).uid).to.equal(uid);
      expect(status(vms[index]!.record().process.pid)('Groups')).to.deep.equal(['']);
    }
    for (const vm of vms) await vm.kill(call());
  });

  it('keeps root without capabilities where the program is closed to others, and root on request', async function () {
    requireOrSkip(this, isRoot, 'needs root');
    const closed = join(fixture.root, 'closed');
    mkdirSync(closed, { mode: 0o700 });
    const binaryPath = join(closed, 'qemu');
    writeFileSync(binaryPath, '#!/bin/sh\nexec qemu-system-x86_64 "$@"\n', { mode: 0o755 });
    for (const options of [{ binaryPath }, { runAs: 'none' as const }]) {
      const vm = await fixture.driver(options).launch(fixture.spec('halt'), call());
      const field = status(vm.record().process.pid);
      expect(field('Uid')[0]).to.equal('0');
      expect(field('CapEff')[0]).to.match(/^0+$/);
      await vm.kill(call());
    }
  });

  it('stops the console log at its limit, and the guest runs on', async () => {
    const spec = fixture.spec('chatter');
    const vm = await fixture.driver({ consoleLogMaxMib: 1 }).launch(spec, call());
    const limit = 1024 * 1024;
    const end = Date.now() + 60_000;
    while (statSync(spec.consoleLogPath).size < limit) {
      if (Date.now() > end) expect.fail('the log did not fill');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(statSync(spec.consoleLogPath).size).to.equal(limit);
    expect(vm.state).to.equal('running');
    await vm.kill(call());
  });
});
