import { expect } from 'chai';
import { onEachDriver } from '../support/drivers.js';
import { processesNaming, Sandbox } from '../support/sandbox.js';

onEachDriver('a kept pod', function (driver) {
  this.timeout(600_000);
  let sandbox: Sandbox;

  before(async () => {
    sandbox = await Sandbox.make({ hypervisor: { driver: driver.name } });
    expect((await sandbox.run(['image', 'build'], { timeoutMs: 600_000 })).code).to.equal(0);
    const { code, stderr, stdout } = await sandbox.run([
      'run',
      '--keep',
      '--name',
      'kept',
      '--label',
      'tier=test',
      '--',
      'sh',
      '-c',
      'echo first >/tmp/f; echo made',
    ]);
    expect(code, stderr).to.equal(0);
    expect(stdout.toString()).to.equal('made\n');
    expect(stderr).to.include('kept');
  });
  after(async () => {
    await sandbox.run(['rm', '--force', 'kept']);
    expect(await sandbox.leftovers()).to.deep.equal([]);
    await sandbox.dispose();
  });

  it('outlives the command that made it', async () => {
    expect(processesNaming(sandbox.root).some(({ command }) => command.includes(driver.program))).to.equal(true);
    const { stdout } = await sandbox.run(['ps', '--json']);
    const [pod] = JSON.parse(stdout.toString()) as Record<string, unknown>[];
    expect(pod).to.deep.include({ id: 'kept', state: 'running', keep: true, labels: { tier: 'test' } });
  });

  it('runs more commands, with their input, streams and exit code', async () => {
    const first = await sandbox.run(['exec', 'kept', 'cat', '/tmp/f']);
    expect(first.stdout.toString(), first.stderr).to.equal('first\n');
    const second = await sandbox.run(['exec', '-i', 'kept', 'sh', '-c', 'cat; echo err >&2; exit 3'], {
      input: 'through\n',
    });
    expect({ ...second, stdout: second.stdout.toString() }).to.deep.include({
      code: 3,
      stdout: 'through\n',
      stderr: 'err\n',
    });
  });

  it('runs commands of several callers, one after the other or all at once', async () => {
    const results = await Promise.all(['a', 'b', 'c'].map((word) => sandbox.run(['exec', 'kept', 'echo', word])));
    for (const [index, result] of results.entries()) {
      expect(result.code, result.stderr).to.equal(0);
      expect(result.stdout.toString()).to.equal(`${['a', 'b', 'c'][index]}\n`);
    }
  });

  it('refuses a second pod of its name and leaves the first alone', async () => {
    const { code, stderr } = await sandbox.run(['run', '--name', 'kept', '--', 'true']);
    expect(code).to.equal(125);
    expect(stderr).to.match(/POD_(ALREADY_EXISTS|BUSY)/);
    expect((await sandbox.run(['exec', 'kept', 'cat', '/tmp/f'])).stdout.toString()).to.equal('first\n');
  });

  it('shows its console', async () => {
    const { code } = await sandbox.run(['logs', 'kept']);
    expect(code).to.equal(0);
  });

  it('tells an exec in a pod that is not there', async () => {
    const { code, stderr } = await sandbox.run(['exec', 'nobody', 'true']);
    expect(code).to.equal(125);
    expect(stderr).to.include('POD_NOT_FOUND');
  });

  it('says so when its VM has died, and can still be removed', async () => {
    const made = await sandbox.run(['run', '--keep', '--name', 'dies', '--', 'true']);
    expect(made.code, made.stderr).to.equal(0);
    const qemu = processesNaming(`${sandbox.root}/run/pods/dies`).find(({ command }) =>
      command.includes(driver.program),
    );
    if (!qemu) throw new Error('no QEMU process found');
    process.kill(qemu.pid, 'SIGKILL');
    const exec = await sandbox.run(['exec', 'dies', 'true']);
    expect(exec.code).to.equal(125);
    expect(exec.stderr).to.match(/POD_NOT_RUNNING|VM_ADOPT_FAILED/);
    const list = await sandbox.run(['ps', '--all', '--json']);
    expect(list.stdout.toString()).to.include('"failed"');
    expect((await sandbox.run(['rm', 'dies'])).code).to.equal(0);
  });
});
