import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse } from 'yaml';
import type { PodDetails, PodEvent } from '../../src/core/pod/pods-api.js';
import { createHyperplug, type Hyperplug } from '../../src/index.js';
import { busybox, makeBusyboxTree } from '../support/busybox-tree.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { requireOrSkip } from '../support/require.js';
import { Sandbox } from '../support/sandbox.js';

/** One pod of a file, through its life: two boots for all of it. */
describe('a pod of a file, with containers, volumes and files', function () {
  this.timeout(600_000);
  let sandbox: Sandbox;
  let hyperplug: Hyperplug;
  let port: number;
  const folder = mkdtempSync(join(tmpdir(), 'hpp-'));
  const at = (name: string) => join(folder, name);

  before(async function () {
    requireOrSkip(this, busybox !== undefined, 'a static busybox is not installed');
    chmodSync(folder, 0o711);
    sandbox = await Sandbox.make();
    port = await freePort();
    makeBusyboxTree(at('tree'), { 'etc/which': 'directory\n' });
    makeBusyboxTree(at('other'), { 'etc/which': 'archive\n' });
    execFileSync('tar', ['-C', at('other'), '-czf', at('other.tgz'), '.']);
    mkdirSync(at('shared'));
    writeFileSync(at('shared/from-host'), 'of the host\n');
    writeFileSync(at('on-host'), 'read at the start\n');
    hyperplug = await createHyperplug({ configPath: sandbox.configPath });
    await hyperplug.pods.create(parse(file()));
  });
  after(async () => {
    await hyperplug?.pods.remove('web', { force: true }).catch(() => {});
    await hyperplug?.close();
    const left = await sandbox?.leftovers();
    await sandbox?.dispose();
    rmSync(folder, { recursive: true, force: true });
    expect(left ?? []).to.deep.equal([]);
  });

  const file = () => `
id: web
hostname: web
resource: { vcpu: 1, memory: 256 }
env: { STAGE: test }
portmappings: [{ hostPort: ${port}, containerPort: 8000 }]
files:
  - { name: greeting, encoding: base64, content: ${Buffer.from('hello\n').toString('base64')} }
  - { name: host, uri: "file://${at('on-host')}" }
volumes:
  - { name: data, sizeMib: 32 }
  - { name: shared, source: ${at('shared')}, format: vfs }
containers:
  - name: server
    image: ${at('tree')}
    command:
      - sh
      - -c
      - |
        echo up as $STAGE
        while true; do echo answer | nc -l -p 8000 || sleep 0.2; done &
        while [ ! -e /tmp/die ]; do sleep 0.2; done
        rm /tmp/die; kill $!; exit 4
    restartPolicy: always
    volumes: [{ volume: data, path: /data }, { volume: shared, path: /shared, readOnly: true }]
    files: [{ filename: greeting, path: /etc/greeting, perm: "0640", user: "7", group: "8" }]
  - name: worker
    image: ${at('other.tgz')}
    command: [sh, -c, "trap 'echo stopped; exit 3' TERM; date +%s >>/data/ticks; echo working; while true; do sleep 0.2; done"]
    envs: [{ env: ROLE, value: work }]
    volumes: [{ volume: data, path: /data }]
    files: [{ filename: host, path: /etc/host-file }]
`;
  const sh = async (container: string, script: string): Promise<string> => {
    await using pod = await hyperplug.pods.open('web');
    return (await pod.exec(['sh', '-c', script], { container })).stdout;
  };
  const log = async (container: string) => {
    const parts: Uint8Array[] = [];
    for await (const part of hyperplug.pods.logs('web', { container })) parts.push(part);
    return Buffer.concat(parts).toString();
  };
  const answer = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      let text = '';
      socket.setTimeout(5_000, () => socket.destroy(new Error('nothing came')));
      socket.on('data', (chunk) => (text += chunk));
      socket.on('error', reject);
      socket.on('close', () => (text ? resolve(text) : reject(new Error('closed'))));
    });
  const container = ({ containers }: PodDetails, name: string) => containers.find((each) => each.name === name);

  it('starts as it is written: roots, volumes, files, environment, ports, output', async () => {
    const details = await hyperplug.pods.start('web');
    expect(details.containers.map(({ name, state }) => `${name} ${state}`)).to.deep.equal([
      'server running',
      'worker running',
    ]);
    expect(await sh('server', 'cat /etc/which /etc/greeting; stat -c "%a %u %g" /etc/greeting')).to.equal(
      'directory\nhello\n640 7 8',
    );
    expect(await sh('worker', 'cat /etc/which /etc/host-file; echo $ROLE $STAGE; hostname')).to.equal(
      'archive\nread at the start\nwork test\nweb',
    );
    expect(await sh('server', 'cat /shared/from-host; echo x >/shared/new 2>&1 || echo read-only')).to.match(
      /^of the host\n.*read-only$/s,
    );
    await sh('server', 'echo of the server >/data/note');
    expect(await sh('worker', 'cat /data/note')).to.equal('of the server');
    await eventually(async () => expect(await answer()).to.equal('answer\n'), 30_000);
    await eventually(async () => expect(await log('server')).to.equal('up as test\n'), 20_000);
    expect(await log('worker')).to.equal('working\n');
    const stats = await hyperplug.pods.stats('web');
    expect(stats.host.cpuMs).to.be.above(0);
    expect(stats.host.memoryPssBytes).to.be.above(16 << 20);
    expect(stats.guest?.processes).to.be.above(2);
    expect(stats.nics[0]?.receivedBytes).to.be.above(0);
  });

  it('a container that dies is restarted by its policy, and that is told', async () => {
    const seen: PodEvent[] = [];
    const stop = new AbortController();
    const following = (async () => {
      for await (const event of hyperplug.pods.events({ follow: true, signal: stop.signal })) seen.push(event);
    })().catch(() => {});
    await sh('server', 'touch /tmp/die');
    await eventually(async () => {
      expect(seen.map(({ type, data }) => `${type} ${data.container}`)).to.include.members([
        'container-exited server',
        'container-started server',
      ]);
      expect(seen.find(({ type }) => type === 'container-exited')?.data.exitCode).to.equal(4);
      expect(container(await hyperplug.pods.inspect('web'), 'server')?.state).to.equal('running');
    }, 30_000);
    stop.abort();
    await following;
    await eventually(async () => expect(await answer()).to.equal('answer\n'), 30_000);
  });

  it('paused, nothing of it goes on; resumed, it does', async () => {
    const uptime = async () => Number((await sh('worker', 'cut -d" " -f1 /proc/uptime')).trim());
    const before = await uptime();
    await hyperplug.pods.pause('web');
    const { cpuMs } = (await hyperplug.pods.stats('web')).host;
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect((await hyperplug.pods.stats('web')).host.cpuMs - cpuMs).to.be.below(500);
    await hyperplug.pods.resume('web');
    expect(await uptime()).to.be.at.least(before);
  });

  it('stopped, its containers end by their signals; what is on its disk is there at the next start', async () => {
    const waiting = hyperplug.pods.wait('web');
    const stopped = await hyperplug.pods.stop('web', { graceMs: 20_000 });
    expect(stopped).to.deep.include({ state: 'exited', pid: null, nics: [] });
    expect(container(stopped, 'worker')).to.deep.include({ state: 'exited', exitCode: 3 });
    expect((await waiting).state).to.equal('exited');
    // Its whole process group is signalled, and its shell says so of sleep.
    expect(await log('worker')).to.match(/^working\n(Terminated\n)?stopped\n$/);
    await hyperplug.pods.start('web');
    expect(await sh('worker', 'cat /data/note')).to.equal('of the server');
    // Its command may not have come so far when the pod has started.
    const again = /^working\n(Terminated\n)?stopped\nworking\n$/;
    await eventually(async () => expect(await log('worker')).to.match(again), 30_000);
    await eventually(async () => expect(await sh('worker', 'wc -l </data/ticks')).to.equal('2'), 30_000);
    await eventually(async () => expect(await answer()).to.equal('answer\n'), 30_000);
  });

  it('killed from outside, it has failed within a second, and holds nothing', async () => {
    const { pid } = await hyperplug.pods.inspect('web');
    const waiting = hyperplug.pods.wait('web');
    process.kill(pid as number, 'SIGKILL');
    const failed = await waiting;
    expect(failed).to.deep.include({ state: 'failed', nics: [] });
    expect(failed.failure).to.match(/killed/);
    expect(failed.containers.map(({ state }) => state)).to.deep.equal(['exited', 'exited']);
    const data = join(sandbox.root, 'state/pods/web');
    expect(readFileSync(join(data, 'console.log')).length).to.be.at.least(0);
    await hyperplug.pods.remove('web');
    expect(existsSync(data)).to.equal(false);
  });
});

describe('a pod whose root is a directory, and whose command ends', function () {
  this.timeout(600_000);
  let sandbox: Sandbox;
  const folder = mkdtempSync(join(tmpdir(), 'hpr-'));

  before(async function () {
    requireOrSkip(this, busybox !== undefined, 'a static busybox is not installed');
    chmodSync(folder, 0o711);
    makeBusyboxTree(join(folder, 'tree'), { 'etc/which': 'the root\n' });
    sandbox = await Sandbox.make();
  });
  after(async () => {
    const left = await sandbox?.leftovers();
    await sandbox?.dispose();
    rmSync(folder, { recursive: true, force: true });
    expect(left ?? []).to.deep.equal([]);
  });

  it('runs commands there; when its own has ended, so has the pod, with its code', async () => {
    await using hyperplug = await createHyperplug({ configPath: sandbox.configPath });
    await hyperplug.pods.create({
      id: 'job',
      rootfs: join(folder, 'tree'),
      files: [{ name: 'note', content: 'injected', path: '/etc/deep/note' }],
      containers: [{ name: 'own', command: ['sh', '-c', 'echo layer >/etc/mine; cat /etc/mine; exec sleep 0.1'] }],
      command: ['sh', '-c', 'while [ ! -e /tmp/go ]; do sleep 0.1; done; echo done; exit 7'],
    });
    await hyperplug.pods.start('job');
    {
      await using pod = await hyperplug.pods.open('job');
      expect((await pod.exec(['cat', '/etc/which', '/etc/deep/note'])).stdout).to.equal('the root\ninjected');
      await pod.files.write('/tmp/go', Buffer.from(''));
    }
    const ended = await hyperplug.pods.wait('job');
    expect(ended).to.deep.include({ state: 'exited', failure: null });
    expect(ended.containers[0]).to.deep.include({ name: 'main', state: 'exited', exitCode: 7 });
    const parts: Uint8Array[] = [];
    for await (const part of hyperplug.pods.logs('job', { container: 'main' })) parts.push(part);
    expect(Buffer.concat(parts).toString()).to.equal('done\n');
    expect(ended.containers[1]).to.deep.include({ name: 'own', image: null, exitCode: 0 });
    await hyperplug.pods.remove('job');
  });
});
