import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';
import { type Finished, finish, processesNaming, Sandbox } from '../support/sandbox.js';
import { buildUdpEcho, UDP_ASK } from '../support/udp-echo.js';
import { NOBODY, readableProgram } from '../support/unprivileged.js';

interface Session {
  readonly netns: string;
  readonly holder: { readonly pid: number };
  readonly slirp: { readonly pid: number };
}

/** Where the user nobody lives: a network namespace of the test's own, and a /dev/net/tun that all may open. */
class Place {
  private constructor(
    readonly namespace: TestNamespace,
    private readonly init: ChildProcess,
  ) {}

  static async make(namespace: TestNamespace): Promise<Place> {
    const script = 'mount -t tmpfs none /dev/net && mknod -m 0666 /dev/net/tun c 10 200 && echo ready && exec cat';
    const argv = ['netns', 'exec', namespace.name, 'unshare', '--mount', '--propagation', 'private'];
    const init = spawn('ip', [...argv, 'sh', '-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(init.stdout, 'data');
    return new Place(namespace, init);
  }

  /** As nobody, without any privilege; `tun`: whether there is a /dev/net/tun. */
  start(argv: readonly string[], env: NodeJS.ProcessEnv, tun = true): ChildProcess {
    const enter = ['--target', String(this.init.pid), '--mount', '--net', '--'];
    const hide = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', '--'];
    const user = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups', '--no-new-privs', '--'];
    const whole = [...enter, ...(tun ? [] : hide), 'setpriv', ...user, ...argv];
    return spawn('nsenter', whole, { env, cwd: '/', stdio: 'pipe' });
  }

  async end(): Promise<void> {
    this.init.kill('SIGKILL');
    await once(this.init, 'exit');
  }
}

for (const driver of ['qemu', 'uml'] as const) {
  describe(`rootless networks, as an unprivileged user (${driver})`, function () {
    rootless.call(this, driver);
  });
}

function rootless(this: Mocha.Suite, driver: 'qemu' | 'uml') {
  this.timeout(600_000);
  let namespace: TestNamespace;
  let internet: TestNamespace;
  let place: Place;
  let sandbox: Sandbox;
  let program: string;
  let port: number;

  before(async function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
    namespace = new TestNamespace();
    internet = new TestNamespace();
    namespace.ip('link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'wan', 'netns', internet.name);
    namespace.ip('addr', 'add', '198.51.100.2/24', 'dev', 'uplink');
    namespace.ip('link', 'set', 'uplink', 'up');
    internet.ip('addr', 'add', '198.51.100.1/24', 'dev', 'wan');
    internet.ip('link', 'set', 'wan', 'up');
    place = await Place.make(namespace);
    sandbox = await Sandbox.make({
      hypervisor: { driver, qemu: { acceleration: 'tcg' } },
      rootless: { enabled: true },
    });
    program = readableProgram(sandbox.root);
    // Built by root, where the machine's network is; the namespace has none.
    const built = await sandbox.run(['image', 'build', '--json'], { timeoutMs: 500_000 });
    const { kernelPath } = JSON.parse(built.stdout.toString()) as { kernelPath: string };
    for (const name of ['state', 'run', 'home', 'home/.cache', 'home/.cache/hyperplug']) {
      rmSync(join(sandbox.root, name), { recursive: true, force: true });
      mkdirSync(join(sandbox.root, name), { mode: 0o700 });
      chownSync(join(sandbox.root, name), NOBODY, NOBODY);
    }
    const images = join(sandbox.root, 'home/.cache/hyperplug/images');
    cpSync(join(kernelPath, '../..'), images, { recursive: true, preserveTimestamps: true });
    execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, images]);
    port = await freePort();
  });
  after(async () => {
    await place?.end();
    await sandbox?.dispose();
    internet?.delete();
    namespace?.delete();
  });

  const run = (...args: string[]) => runWhere(true, ...args);

  const runWhere = (tun: boolean, ...args: string[]): Promise<Finished> =>
    finish(start(tun, ...args), { timeoutMs: 300_000 });

  function start(tun: boolean, ...args: string[]): ChildProcess {
    const env = { PATH: process.env.PATH, HOME: join(sandbox.root, 'home'), HYPERPLUG_CONFIG: sandbox.configPath };
    return place.start([process.execPath, program, ...args], env, tun);
  }

  async function ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(...args);
    expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
    return stdout.toString();
  }

  const directory = () => join(sandbox.root, 'run/rootless');
  const session = () => JSON.parse(readFileSync(join(directory(), 'session.json'), 'utf8')) as Session;

  /** What a client in the namespace where the user lives reads from its loopback; it is the host of these networks. */
  const fetched = () =>
    namespace.exec('timeout', '20', 'bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'hi\\n' >&3; cat <&3`);

  if (driver === 'uml') {
    it('doctor asks network and firewall where they will work; without /dev/net/tun it says what to mend', async () => {
      type Findings = { id: string; status: string; summary: string; fix?: string }[];
      const found = JSON.parse(await ok('doctor', '--json')) as Findings;
      const statuses = Object.fromEntries(found.map(({ id, status }) => [id, status]));
      expect(statuses).to.include({ 'iptables.ipv4': 'ok', 'netlink.rtnetlink': 'ok', 'rootless.tun': 'ok' });
      const without = await runWhere(false, 'doctor', '--json');
      expect(without.code).to.equal(1);
      const bad = (JSON.parse(without.stdout.toString()) as Findings).filter(({ status }) => status === 'fail');
      expect(bad.map(({ id }) => id)).to.deep.equal(['rootless.tun', 'rootless.session']);
      expect(bad[0]?.fix).to.contain('--device /dev/net/tun');
      const refused = await runWhere(false, 'net', 'status');
      expect(refused.stderr).to.contain('HOST_PERMISSION').and.to.contain('fix: hyperplug doctor --rootless');
      expect(existsSync(directory())).to.equal(false);
      expect(processesNaming(sandbox.root)).to.deep.equal([]);
    });
  }

  it('keeps two pods of two commands on one bridge, which reach each other', async () => {
    await ok('run', '--keep', '--name', 'one', '-p', `127.0.0.1:${port}:80`, '--', 'true');
    const { netns } = session();
    await ok('run', '--keep', '--name', 'two', '--', 'true');
    expect(session().netns).to.equal(netns);
    const [report] = JSON.parse(await ok('net', 'status', '--json'));
    expect(report).to.deep.include({ bridge: 'hyper0', state: 'ready', pods: ['one', 'two'] });
    const [nic] = JSON.parse(await ok('nic', 'ls', 'two', '--json'));
    const [{ address }] = nic.addresses;
    expect(await ok('exec', 'one', '--', 'ping', '-A', '-c', '2', '-W', '10', address)).to.match(/ 0% packet loss/);
    // Nothing of it is the host's.
    expect(namespace.links().sort()).to.deep.equal(['lo', 'uplink']);
    expect(namespace.exec('iptables-save')).to.not.match(/HYPER|hyperplug/);
  });

  it('publishes a port on the loopback of the host', async () => {
    await ok('exec', 'one', '--', 'sh', '-c', ECHO);
    await eventually(async () => expect(fetched()).to.equal('got hi\n'), 30_000);
    const taken = await run('run', '-p', `127.0.0.1:${port}:80`, '--', 'true');
    expect(taken.code).to.equal(125);
    expect(taken.stderr).to.contain('NET_PORT_IN_USE').and.to.contain('one');
  });

  it('publishes a UDP port: a datagram goes in, and its answer comes out', async () => {
    const udpPort = await freePort();
    const asked = (bytes: number, seconds: number) =>
      internet.exec(process.execPath, '-e', UDP_ASK, ...['198.51.100.2', udpPort, bytes, seconds].map(String)).trim();
    await ok('cp', buildUdpEcho(sandbox.root), 'one:/bin/udp-echo');
    await ok('exec', 'one', '--', 'sh', '-c', 'udp-echo 53 </dev/null >/dev/null 2>&1 &');
    await ok('port', 'add', 'one', `${udpPort}:53/udp`);
    expect([asked(2, 30), asked(1400, 30)]).to.deep.equal(['came back', 'came back']);
    await ok('port', 'rm', 'one', `${udpPort}/udp`);
    expect(asked(2, 1)).to.equal('silence');
    const refused = await run('port', 'add', 'one', `127.0.0.1:${udpPort}:53/udp`);
    expect(refused.stderr).to.contain('NOT_SUPPORTED').and.to.contain('rootless.hostLoopback');
    expect(await ok('port', 'ls', 'one')).to.not.contain(String(udpPort));
  });

  it('reaches the world outside as its user does, and not the loopback of the host', async () => {
    const world = spawn('ip', ['netns', 'exec', internet.name, process.execPath, '-e', SERVER, '7000']);
    const loopback = spawn('ip', ['netns', 'exec', namespace.name, process.execPath, '-e', SERVER, '7000']);
    try {
      await Promise.all([world, loopback].map(({ stdout }) => once(stdout, 'data')));
      const asked = (host: string) => ok('exec', 'two', '--', 'sh', '-c', `nc -w 10 ${host} 7000 </dev/null || true`);
      expect(await asked('198.51.100.1')).to.equal('from 198.51.100.2\n');
      expect(await asked('10.0.2.2')).to.equal('');
    } finally {
      world.kill('SIGKILL');
      loopback.kill('SIGKILL');
    }
  });

  it('tells that slirp4netns was killed; gc starts it again, with its ports', async () => {
    const before = session();
    process.kill(before.slirp.pid, 'SIGKILL');
    const check = await run('net', 'check');
    expect([check.code, check.stdout.toString()]).to.satisfy(
      // And nothing else: bridges have the MTU that they should have.
      ([code, text]: [number, string]) =>
        code === 1 && /^default: .*slirp4netns, process \d+, it has died.*\n$/.test(text),
    );
    expect((await run('gc', '--dry-run')).stdout.toString()).to.match(/would finish +network +rootless/);
    expect(await ok('gc')).to.match(/finished +network +rootless .*slirp4netns/);
    expect(session()).to.deep.include({ netns: before.netns, holder: before.holder });
    expect(await ok('net', 'check')).to.equal('default: as it should be\n');
    await ok('exec', 'one', '--', 'sh', '-c', ECHO);
    await eventually(async () => expect(fetched()).to.equal('got hi\n'), 30_000);
  });

  if (driver === 'qemu') {
    it('tells that the holder was killed; the next command has another in the same namespaces', async () => {
      const before = session();
      process.kill(before.holder.pid, 'SIGKILL');
      expect((await run('net', 'check')).stdout.toString()).to.match(
        /holder of the namespace, process \d+, it has died/,
      );
      expect(await ok('gc')).to.match(/finished +network +rootless .*holder/);
      expect(session().netns).to.equal(before.netns);
      expect(session().holder).to.not.deep.equal(before.holder);
      expect(await ok('exec', 'one', '--', 'hostname')).to.equal('one\n');
    });
  }

  it('leaves no process, namespace, file or forward when the last pod goes', async () => {
    const { netns } = session();
    await ok('rm', 'one');
    await eventually(async () => expect(await refused()).to.equal('ECONNREFUSED'), 10_000);
    expect(existsSync(directory())).to.equal(true);
    await ok('rm', 'two');
    expect(existsSync(directory())).to.equal(false);
    expect(processesNaming(sandbox.root)).to.deep.equal([]);
    await eventually(async () => expect(namespacesThere()).to.not.include(netns), 10_000);
    expect(await sandbox.leftovers()).to.deep.equal([]);
    // Three at once begin it, and the last of them ends it.
    const statuses = await Promise.all([1, 2, 3].map(() => run('net', 'status')));
    expect(statuses.map(({ code, stderr }) => code || stderr)).to.deep.equal(['', '', '']);
    expect(existsSync(directory())).to.equal(false);
    expect(processesNaming(sandbox.root)).to.deep.equal([]);
    expect(await ok('net', 'init')).to.contain('ready');
    expect(existsSync(directory())).to.equal(true);
    expect(await ok('net', 'teardown')).to.equal('default\n');
    expect(existsSync(directory())).to.equal(false);
    expect(processesNaming(sandbox.root)).to.deep.equal([]);
  });

  if (driver === 'uml') {
    it('tells that the holder was killed and the namespaces with it; gc ends their pods, which start in new ones', async () => {
      await ok('run', '--keep', '--name', 'three', '--', 'true');
      const lost = session();
      process.kill(lost.holder.pid, 'SIGKILL');
      const refused = await run('exec', 'three', '--', 'true');
      expect(refused.stderr).to.match(/holder of the namespaces .* died.*POD_NOT_RUNNING: .*failed: the namespaces/s);
      expect(await ok('gc')).to.match(/finished +pod +three .*namespaces/);
      expect(processesNaming(sandbox.root)).to.deep.equal([]);
      expect(existsSync(directory())).to.equal(false);
      await ok('pod', 'start', 'three');
      expect(await ok('exec', 'three', '--', 'hostname')).to.equal('three\n');
      await ok('rm', 'three');
      expect(await sandbox.leftovers()).to.deep.equal([]);
    });

    it('starts again what has died around a daemon in there, which says that it cannot', async () => {
      const daemon = start(true, 'daemon');
      const ended = once(daemon, 'exit');
      const socket = join(sandbox.root, 'run/daemon.sock');
      await eventually(async () => expect(existsSync(socket)).to.equal(true), 30_000);
      await ok('net', 'init');
      const before = session();
      for (const { pid } of [before.holder, before.slirp]) process.kill(pid, 'SIGKILL');
      expect(await ok('gc', '--socket', socket)).to.match(/left +network +default .*died; hyperplug gc --rootless/);
      const mended = await run('gc');
      expect(mended.stderr).to.match(/holder .* had died; started again\n.*slirp4netns .* had died; started again/);
      expect(session().netns).to.equal(before.netns);
      expect(await ok('net', 'check')).to.equal('default: as it should be\n');
      await ok('net', 'teardown');
      daemon.kill('SIGTERM');
      await ended;
      await eventually(async () => expect(existsSync(directory())).to.equal(false), 30_000);
    });

    it('keeps the namespaces as long as a pod without a NIC runs', async () => {
      await ok('run', '--keep', '--name', 'bare', '--network', 'none', '--', 'true');
      expect(await ok('exec', 'bare', '--', 'hostname')).to.equal('bare\n');
      await ok('rm', 'bare');
      expect(existsSync(directory())).to.equal(false);
    });
  }

  async function refused(): Promise<string> {
    const script = `require('net').connect(${port}, '127.0.0.1').on('error', (e) => console.log(e.code)).on('connect', () => process.exit())`;
    return namespace.exec(process.execPath, '-e', script).trim();
  }
}

/** In the pod, once: answers what it was told. */
const ECHO = `nc -l -p 80 -e sh -c 'read word; echo got $word' </dev/null >/dev/null 2>&1 &`;

/** Tells each client its address. */
const SERVER = `require('net').createServer((s) => s.end('from ' + s.remoteAddress + '\\n')).listen(+process.argv[1], '0.0.0.0', () => console.log('ready'))`;

function namespacesThere(): string[] {
  const text = execFileSync('sh', ['-c', 'readlink /proc/[0-9]*/ns/net 2>/dev/null || true'], { encoding: 'utf8' });
  return text.split('\n');
}
