import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { DebianGuestImageProvider } from '../../guest/image/index.js';
import type { GuestSession } from '../../src/core/agent.js';
import type { CallOptions } from '../../src/core/calls.js';
import type { ContainerExit } from '../../src/core/container.js';
import { silentProgress } from '../../src/core/progress.js';
import type { RootImage } from '../../src/core/rootfs.js';
import { UndoStack } from '../../src/core/undo.js';
import { Vm } from '../../src/core/vm/vm.js';
import { DebianToolProvider } from '../../src/host/debian/tools.js';
import { defaultDirectories } from '../../src/host/paths.js';
import { HostRootImages } from '../../src/host/rootfs/provider.js';
import { HyperstartAgent } from '../../src/plugins/hyperstart/agent.js';
import { QemuDriver } from '../../src/plugins/qemu/driver.js';
import { qemuOptions } from '../../src/plugins/qemu/options.js';
import { UmlDriver } from '../../src/plugins/uml/driver.js';
import { umlOptions } from '../../src/plugins/uml/options.js';
import { busybox, makeBusyboxTree } from '../support/busybox-tree.js';
import { onEachDriver } from '../support/drivers.js';
import { eventually } from '../support/eventually.js';
import { tarOf, writeOciLayout } from '../support/oci-layout.js';
import { requireOrSkip } from '../support/require.js';
import { processesNaming } from '../support/sandbox.js';

/** Containers of one VM: roots from a directory, an archive and an OCI layout, volumes and shares. One boot for all of it. */
onEachDriver('containers with roots and volumes of their own', function (on) {
  this.timeout(300_000);
  const folder = mkdtempSync(join(tmpdir(), 'hpc-'));
  const at = (name: string) => join(folder, name);
  const calls = (): CallOptions => ({ signal: AbortSignal.timeout(120_000) });
  const undo = new UndoStack();
  let vm: Vm;
  let session: GuestSession;
  const images: Record<string, RootImage> = {};
  const before_: Record<string, string> = {};
  const exits: ContainerExit[] = [];
  let refusal: Promise<Error | undefined>;
  const digest = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

  const run = async (container: string | undefined, script: string, parts: object = {}) => {
    const spec = { argv: ['/bin/sh', '-c', script], env: {}, workingDirectory: '/', terminal: false };
    const process = await session.exec(
      { ...spec, ...(container === undefined ? {} : { container }), ...parts },
      calls(),
    );
    process.stdin.end();
    const [out, err, exit] = await Promise.all([buffer(process.stdout), buffer(process.stderr), process.exited]);
    return { out: out.toString(), err: err.toString(), code: exit.exitCode };
  };
  const output = async (container: string | undefined, script: string, parts: object = {}) => {
    const { out, err, code } = await run(container, script, parts);
    expect(code, `${script}: ${err}`).to.equal(0);
    return out.trim();
  };

  before(async function () {
    requireOrSkip(this, busybox !== undefined, 'a static busybox is not installed');
    chmodSync(folder, 0o711);
    const { cacheDirectory } = defaultDirectories();
    const tools = new DebianToolProvider({ cacheDir: cacheDirectory });
    const options = { ...calls(), progress: silentProgress };
    const provider = new HostRootImages({ cacheDir: at('cache'), tools });

    makeBusyboxTree(at('tree'), { 'etc/which': 'directory\n', 'root/secret': 'of root alone' });
    chmodSync(at('tree/root/secret'), 0o600);
    execFileSync('tar', ['-C', at('tree'), '-czf', at('tree.tgz'), '.']);
    const lower = execFileSync('tar', ['-C', at('tree'), '-c', '.'], { maxBuffer: 64 << 20 });
    const upper = await tarOf([
      { path: 'etc/.wh.which' },
      { path: 'etc/layer', content: 'upper' },
      { path: 'srv/mine', content: 'x', uid: 77 },
    ]);
    const config = { Env: ['GREETING=hello=you'], Cmd: ['cat', '/etc/layer'], WorkingDir: '/srv', User: 'inside' };
    writeOciLayout(at('oci'), [lower, upper], config);
    images.directory = await provider.rootImage({ kind: 'directory', path: at('tree') }, options);
    images.archive = await provider.rootImage({ kind: 'archive', path: at('tree.tgz') }, options);
    images.oci = await provider.rootImage({ kind: 'oci-layout', path: at('oci'), reference: 'latest' }, options);
    await provider.createDisk({ path: at('volume.raw'), sizeMib: 32, fsType: 'ext4' }, options);
    for (const [name, { path }] of Object.entries(images)) before_[name] = digest(path);

    for (const name of ['shared', 'shown']) mkdirSync(at(name));
    writeFileSync(at('shared/from-host'), 'host');
    writeFileSync(at('shown/from-host'), 'host');
    mkdirSync(at('run'), { mode: 0o700 });

    const image = await new DebianGuestImageProvider({ cacheDir: cacheDirectory, tools }).image(options);
    const host = { tools, progress: silentProgress, paths: { cacheDir: cacheDirectory } };
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const driver =
      on.name === 'qemu'
        ? new QemuDriver(qemuOptions.parse({}), { ...host, log })
        : new UmlDriver(umlOptions.parse({}), { ...host, log });
    const disk = (id: string, path: string, readOnly: boolean) => ({ id, path, readOnly, format: 'raw' as const });
    const spec = {
      id: 'containers',
      cpus: 1,
      memoryMib: 256,
      kernelPath: image.kernelPath,
      initramfsPath: image.initramfsPath,
      kernelArgs: image.kernelArgs,
      channels: new HyperstartAgent({ nicTimeoutMs: 10_000 }).capabilities.channels,
      nics: [],
      disks: [
        ...Object.entries(images).map(([name, { path }]) => disk(`root-${name}`, path, true)),
        disk('volume', at('volume.raw'), false),
      ],
      shares: on.shares
        ? [
            { tag: 'shared', path: at('shared'), readOnly: false },
            { tag: 'shown', path: at('shown'), readOnly: true },
            { tag: 'tree', path: at('tree'), readOnly: true },
          ]
        : [],
      hotplugNicSlots: 0,
      runDir: at('run'),
      consoleLogPath: at('console.log'),
      detached: false,
    };
    const agent = new HyperstartAgent({ nicTimeoutMs: 10_000 });
    vm = await Vm.launch({ driver, agent }, spec, undo, calls(), async () => {});
    session = vm.session;
    session.onContainerExit((exit) => void exits.push(exit));
    const setup = { hostname: 'pod', dns: ['192.0.2.53'], dnsSearch: [], dnsOptions: [] };
    await session.startPod(setup, calls());
    // A disk is waited for; meanwhile others are made.
    refusal = create('missing', { root: { kind: 'disk', id: 'none', fsType: 'squashfs' } }).then(
      () => undefined,
      (reason: Error) => reason,
    );
  });

  after(async () => {
    await vm?.kill(calls());
    const left = processesNaming(folder);
    const files = existsSync(at('run'))
      ? execFileSync('find', [at('run'), '-mindepth', '1'], { encoding: 'utf8' })
      : '';
    const changed = Object.entries(images).filter(([name, { path }]) => digest(path) !== before_[name]);
    rmSync(folder, { recursive: true, force: true });
    expect(left).to.deep.equal([]);
    expect(files).to.equal('');
    expect(changed, 'images that were written to').to.deep.equal([]);
  });

  const root = (name: string) => ({ kind: 'disk' as const, id: `root-${name}`, fsType: images[name]?.fsType ?? '' });
  const create = (id: string, parts: object = {}) =>
    session.newContainer(
      { id, root: root('directory'), layer: { kind: 'tmpfs', sizeMib: 16 }, mounts: [], ...parts } as never,
      calls(),
    );

  it('two containers on one image, each with its own writes, processes and host name', async () => {
    await Promise.all([create('one'), create('two', { hostname: 'second' })]);
    expect(await output('one', 'cat /etc/which; echo one > /etc/which; cat /etc/which')).to.equal('directory\none');
    expect(await output('two', 'cat /etc/which; hostname; cat /etc/hostname; cat /etc/resolv.conf')).to.equal(
      'directory\nsecond\nsecond\nnameserver 192.0.2.53',
    );
    expect(await output('one', 'hostname')).to.equal('pod');
    await session.startContainer(
      'one',
      {
        argv: ['sleep', '1234'],
        env: {},
        workingDirectory: '/',
        limits: [
          { name: 'nofile', soft: 100, hard: 200 },
          { name: 'core', soft: null, hard: null },
        ],
        terminal: false,
      },
      calls(),
    );
    expect(
      await output('one', `grep -E 'open files|core file' /proc/$(pidof sleep)/limits | tr -s ' ' | cut -d' ' -f2-5`),
    ).to.equal('core file size unlimited\nopen files 100 200');
    expect(await output('one', 'ps -o args')).to.match(/sleep 1234/);
    expect(await output('two', 'ps -o args; ls /proc | grep -c "^[0-9]"')).not.to.match(/sleep 1234/);
    expect((await run('two', 'test -e /etc/hyperplug')).code, "the guest's own root is not to be seen").to.equal(1);
    expect(await output('two', 'cat /proc/mounts | cut -d" " -f2 | sort -u | head -1')).to.equal('/');
  });

  it('the kernel is out of its reach: masked files, no modules, no clock, a read-only /proc/sys', async () => {
    expect((await run('two', 'head -c1 /proc/kcore | wc -c')).out.trim()).to.equal('0');
    expect((await run('two', 'date -s 2001-01-01')).err).to.match(/not permitted/);
    expect((await run('two', 'echo 1 > /proc/sys/kernel/panic')).code).not.to.equal(0);
    expect(await output('two', 'echo b > /proc/sysrq-trigger; echo still here')).to.equal('still here');
  });

  it('an archive and an OCI layout make roots; the layout also says how to run it', async () => {
    await create('archive', { root: root('archive'), layer: { kind: 'read-only' } });
    expect(await output('archive', 'cat /etc/which; cat /root/secret')).to.equal('directory\nof root alone');
    expect((await run('archive', 'echo x > /etc/which')).err).to.match(/[Rr]ead-only/);
    const { config } = images.oci as RootImage;
    expect(config).to.deep.include({ env: { GREETING: 'hello=you' }, cmd: ['cat', '/etc/layer'], user: 'inside' });
    await create('oci', { root: root('oci') });
    const { env, cmd, workingDirectory, user } = config;
    await session.startContainer(
      'oci',
      { argv: cmd, env, workingDirectory, terminal: false, user: user as string },
      calls(),
    );
    await eventually(async () => expect(exits.map(({ container }) => container)).to.include('oci'), 30_000);
    expect(exits.find((exit) => exit.container === 'oci')).to.deep.equal({ container: 'oci', exitCode: 0 });
    expect((await session.readContainerLog('oci', { offset: 0 }, calls())).content.toString()).to.equal('upper');
    const as = { user: 'inside', env, workingDirectory };
    expect(await output('oci', 'stat -c %u mine; test ! -e /etc/which', as)).to.equal('77');
    expect(await output('oci', 'id -u; id -g; id -G; pwd; echo $GREETING', as)).to.equal(
      '77\n78\n78 79\n/srv\nhello=you',
    );
  });

  it('files are put into it with mode and owner, before anything runs', async () => {
    await create('files');
    const target = { container: 'files', mode: 0o640, user: 'inside' };
    await session.writeFile('/new/place/conf', Buffer.from('content'), calls(), target);
    expect(await output('files', 'stat -c "%a %u %g" /new/place/conf; cat /new/place/conf')).to.equal(
      '640 77 78\ncontent',
    );
    expect((await session.readFile('/new/place/conf', calls(), { container: 'files' })).toString()).to.equal('content');
  });

  if (on.shares) {
    it('a share reaches the host, a read-only one refuses', async () => {
      const mounts = [
        { source: { kind: 'share', tag: 'shared' }, path: '/mnt/shared', readOnly: false },
        { source: { kind: 'share', tag: 'shown' }, path: '/mnt/shown', readOnly: false },
      ];
      await create('s', { mounts });
      const script = 'cat /mnt/shared/from-host; echo guest > /mnt/shared/from-guest';
      expect(await output('s', script)).to.equal('host');
      expect(readFileSync(at('shared/from-guest'), 'utf8')).to.equal('guest\n');
      expect((await run('s', 'cat /mnt/shown/from-host; echo x > /mnt/shown/new')).err).to.match(/[Rr]ead-only/);
      expect(existsSync(at('shown/new'))).to.equal(false);
      await session.removeContainer('s', calls());
    });
  }

  it('volumes: a disk keeps what two containers write, a read-only one refuses', async () => {
    const disk = { kind: 'disk', id: 'volume', fsType: 'ext4' };
    const mounts = [
      { source: disk, path: '/data', readOnly: false },
      { source: { kind: 'tmpfs', sizeMib: 1 }, path: '/scratch', readOnly: false },
    ];
    await create('v1', { mounts });
    await create('v2', { mounts: [{ source: disk, path: '/data', readOnly: true }] });
    await output('v1', 'echo kept > /data/f');
    expect(await output('v2', 'cat /data/f')).to.equal('kept');
    expect((await run('v2', 'echo x > /data/f')).err).to.match(/[Rr]ead-only/);
    expect((await run('v1', 'head -c 2000000 /dev/zero > /scratch/f')).code).not.to.equal(0);
    await session.removeContainer('v1', calls());
    await session.removeContainer('v2', calls());
    await session.mountVolume({ source: disk as never, path: '/mnt/volume', readOnly: false }, calls());
    expect(await output(undefined, 'cat /mnt/volume/f')).to.equal('kept');
    await session.unmountVolume('/mnt/volume', calls());
    expect((await run(undefined, 'grep -qE "/dev/(vd|ubd)" /proc/mounts')).code, 'the volume is unmounted').to.equal(1);
  });

  it('a layer on a disk is there again; a shared directory is a root, too', async () => {
    const layer = { kind: 'disk', id: 'volume', fsType: 'ext4' };
    const setup = { root: on.shares ? { kind: 'share', tag: 'tree' } : root('directory'), layer };
    await create('again', setup);
    expect(await output('again', 'cat /etc/which; echo changed > /etc/which; cat /etc/which')).to.equal(
      'directory\nchanged',
    );
    await session.removeContainer('again', calls());
    expect(readFileSync(at('tree/etc/which'), 'utf8')).to.equal('directory\n');
    await create('again', setup);
    expect(await output('again', 'cat /etc/which')).to.equal('changed');
  });

  it('a disk that is not there is refused by name, and nothing is left of the container', async () => {
    expect((await refusal)?.message).to.match(/no disk none/);
    expect((await session.listContainers(calls())).map(({ id }) => id)).to.not.include('missing');
  });

  it('signals, removal and what the guest counts', async () => {
    const stats = await session.readStats(calls());
    const one = stats.containers.find(({ id }) => id === 'one');
    expect(one?.processCount).to.equal(2);
    expect(one?.memoryBytes).to.be.greaterThan(0);
    const volume = stats.fileSystems.find(({ container, type }) => container === 'again' && type === 'overlay');
    expect(volume?.totalBytes).to.be.greaterThan(1e6);
    expect(stats.memory.totalBytes).to.be.within(150e6, 260e6);
    await session.signalContainer('one', 15, calls());
    await eventually(async () => expect(exits.map(({ container }) => container)).to.include('one'), 30_000);
    expect(exits.find((exit) => exit.container === 'one')).to.include({ exitCode: 143, signal: 15 });
    for (const { id } of await session.listContainers(calls())) await session.removeContainer(id, calls());
    expect(await session.listContainers(calls())).to.deep.equal([]);
    expect((await run(undefined, 'grep -qE "^/dev/(vd|ubd)|overlay|virtiofs" /proc/mounts')).code).to.equal(1);
  });

  it('a clock that is set and a pool that is seeded', async () => {
    const epochMs = Date.UTC(2031, 1, 2, 3, 4, 5);
    await session.setClock(epochMs, calls());
    expect(await output(undefined, 'date -u +%Y-%m-%dT%H')).to.equal('2031-02-02T03');
    await session.setClock(Date.now(), calls());
    await session.reseed(Buffer.alloc(64, 7), calls());
  });
});
