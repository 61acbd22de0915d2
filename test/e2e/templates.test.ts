import type { ChildProcess } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { connectHyperplug } from '../../src/client/index.js';
import type { Hyperplug, Pod } from '../../src/core/pod/types.js';
import { eventually } from '../support/eventually.js';
import { type Finished, finish, processesNaming, Sandbox } from '../support/sandbox.js';

const FACTS = [
  'hostname',
  'cat /etc/machine-id',
  'head -c 16 /dev/urandom | od -An -tx1 | tr -d " "',
  'date +%s',
  'ip -o link show eth0 2>/dev/null | grep -o "ether [^ ]*" || echo none',
].join('; ');

/** One template throughout; daemons come and go above it. */
describe('templates and the pool, with QEMU', function () {
  this.timeout(300_000);
  let sandbox: Sandbox;
  let daemon: ChildProcess;
  let ended: Promise<Finished>;
  let hyperplug: Hyperplug;

  const configure = (more: object = {}) =>
    sandbox.configure({
      templates: { directory: join(sandbox.root, 'templates') },
      pool: { template: 'small' },
      ...more,
    });
  async function start(): Promise<void> {
    daemon = sandbox.start(['daemon']);
    let said = '';
    daemon.stderr?.on('data', (chunk: Buffer) => {
      said += chunk;
    });
    ended = finish(daemon, { timeoutMs: 300_000 });
    await eventually(async () => expect(said).to.include('listening at'), 60_000);
    hyperplug = await connectHyperplug({ socketPath: join(sandbox.root, 'run/daemon.sock') });
  }
  const clones = () => processesNaming(join(sandbox.root, 'run/pods/pool-'));
  const from = async (pod: Pod) => (await pod.status()).origin;

  before(async () => {
    sandbox = await Sandbox.make();
    await configure();
    expect((await sandbox.run(['image', 'build'], { timeoutMs: 600_000 })).code).to.equal(0);
    await start();
    await hyperplug.templates.create({ name: 'small', memoryMib: 128, nicSlots: 1 });
  });
  after(async () => {
    await hyperplug.close().catch(() => {});
    daemon.kill('SIGTERM');
    await ended;
    expect(await sandbox.leftovers()).to.deep.equal([]);
    await sandbox.dispose();
  });

  it('run --template gives the command’s output and exit code, and leaves the template as it is', async () => {
    const run = ['run', '--template', 'small', '--network', 'none', '--name', 'one', '--'];
    const { code, stdout, stderr } = await sandbox.run([...run, 'sh', '-c', 'hostname; exit 7']);
    expect([stdout.toString(), code], stderr).to.deep.equal(['one\n', 7]);
    expect(readdirSync(join(sandbox.root, 'templates')).filter((name) => !name.startsWith('.'))).to.deep.equal([
      'small',
    ]);
    expect((await hyperplug.templates.inspect('small')).state).to.equal('fresh');
  });

  it('six clones are six machines; a NIC that comes while they run reaches its gateway', async () => {
    const pods = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((n) =>
        hyperplug.createPod({ id: `c${n}`, template: 'small', ...(n > 2 && { network: 'none' }) }),
      ),
    );
    try {
      const facts = await Promise.all(
        pods.map(async (pod) => (await pod.exec(['sh', '-c', FACTS])).stdout.trim().split('\n')),
      );
      const column = (at: number) => facts.map((lines) => lines[at] ?? '');
      expect(column(0)).to.deep.equal(['c1', 'c2', 'c3', 'c4', 'c5', 'c6']);
      for (const at of [1, 2]) expect(new Set(column(at)).size, FACTS.split('; ')[at]).to.equal(6);
      for (const id of column(1)) expect(id).to.match(/^[0-9a-f]{32}$/);
      const now = Date.now() / 1000;
      for (const time of column(3)) expect(Number(time)).to.be.within(now - 60, now + 2);
      const macs = pods.map((pod) => pod.nics.list()[0]?.mac);
      expect(column(4)).to.deep.equal(macs.map((mac) => (mac ? `ether ${mac}` : 'none')));
      expect(macs[0]).to.not.equal(macs[1]);
      const gateway = pods[0]?.nics.list()[0]?.lease?.gateways[0] ?? '';
      expect((await pods[0]?.exec(['ping', '-c', '1', '-W', '10', gateway]))?.stdout).to.include('1 packets received');
      expect(await from(pods[0] as Pod)).to.deep.equal({ from: 'template', template: 'small' });
    } finally {
      await Promise.all(pods.map((pod) => pod.remove()));
    }
  });

  it('a pod takes a clone of the pool, which is filled again and drained', async () => {
    const filled = await hyperplug.pool.fill({ size: 1 });
    expect(filled.ready.map(({ template }) => template)).to.deep.equal(['small']);
    const pod = await hyperplug.createPod({ id: 'taken', template: 'small', keep: true });
    expect(await from(pod)).to.deep.equal({ from: 'pool', template: 'small' });
    expect((await pod.exec(['hostname'])).stdout).to.equal('taken');
    const gateway = pod.nics.list()[0]?.lease?.gateways[0] ?? '';
    expect((await pod.exec(['ping', '-c', '1', '-W', '10', gateway])).stdout).to.include('1 packets received');
    await eventually(async () => expect((await hyperplug.pool.status()).ready).to.have.length(1), 60_000);
    expect((await hyperplug.pool.drain()).ready).to.deep.equal([]);
    expect(clones()).to.have.length(1); // the pod's
  });

  it('kill -9 of the daemon: its clones are gone after gc, and the kept pod that was one lives', async () => {
    await hyperplug.pool.fill({ size: 1 });
    expect(clones()).to.have.length(2);
    daemon.kill('SIGKILL');
    await ended;
    await hyperplug.close().catch(() => {});
    const gc = await sandbox.run(['gc', '--json', '--no-daemon']);
    const { findings } = JSON.parse(gc.stdout.toString());
    expect(findings.filter(({ action }: { action: string }) => action === 'failed')).to.deep.equal([]);
    expect(clones()).to.have.length(1);
    const said = await sandbox.run(['exec', '--no-daemon', 'taken', 'hostname']);
    expect(said.stdout.toString(), said.stderr).to.equal('taken\n');
    expect((await sandbox.run(['logs', '--no-daemon', 'taken'])).code).to.equal(0);
    expect((await sandbox.run(['rm', '--no-daemon', '--force', 'taken'])).code).to.equal(0);
    expect(await sandbox.leftovers()).to.deep.equal([]);
    await start();
  });

  it('with another kernel command line it is stale, and made anew before it is used', async () => {
    const before = await hyperplug.templates.inspect('small');
    await configure({ guest: { kernelArgs: ['hyperplug.test'] } });
    const run = ['run', '--no-daemon', '--template', 'small', '--network', 'none', '--', 'cat', '/proc/cmdline'];
    const { stdout, stderr } = await sandbox.run(run);
    expect(stdout.toString(), stderr).to.include('hyperplug.test');
    await configure();
    const after = await hyperplug.templates.inspect('small');
    expect([after.state, after.createdAt === before.createdAt]).to.deep.equal(['stale', false]);
  });
});
