import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { childrenOf, processArgv, readProcess } from '../../src/host/process.js';
import { eventually } from '../support/eventually.js';
import { finish, launcher as launcherPath, processesNaming, program, programs, Sandbox } from '../support/sandbox.js';

for (const [driver, by] of [
  ['qemu', 'launcher'],
  ['uml', 'launcher'],
  ['uml', 'program'],
] as const) {
  describe(`a command that begins with the hypervisor (${driver}, by the ${by})`, function () {
    this.timeout(300_000);
    let sandbox: Sandbox;
    const command = ['run', '--driver', driver, '--log-level', 'debug'];
    const run = (...more: string[]) => sandbox.run([...command, ...more], { launcher: by === 'launcher' });
    const ahead = /"wanted":(true|false),"lives":(true|false),"by":"(\w+)"/;
    /** Of the commands without a template or another size. */
    const memo = () => {
      const others = ['"template"', '"memoryMib":128'];
      const plain = (path: string) => !others.some((word) => readFileSync(path, 'utf8').includes(word));
      const found = sandbox.memos().find(plain);
      return found ?? expect.fail('nothing is remembered');
    };

    before(async () => {
      sandbox = await Sandbox.make();
      expect((await sandbox.run(['image', 'build'], { timeoutMs: 600_000 })).code).to.equal(0);
      // By it the launcher is kept where it is found.
      if (by === 'launcher')
        expect((await sandbox.run([...command, '--memory', '128m', '--', 'true'])).code).to.equal(0);
    });

    afterEach(async () => {
      expect(await sandbox.leftovers()).to.deep.equal([]);
    });

    after(() => sandbox.dispose());

    it('does so the second time, whatever runs in the pod, and has a pod of its own', async () => {
      const first = await run('--', 'hostname');
      expect(first.stderr).to.not.match(ahead);
      const second = await run('--', 'sh', '-c', 'hostname; cat /sys/class/net/e*/address');
      expect(ahead.exec(second.stderr)?.slice(1)).to.deep.equal(['true', 'true', by]);
      const [hostname, mac] = second.stdout.toString().trim().split('\n');
      expect(hostname)
        .to.match(/^pod-[0-9a-f]{10}$/)
        .and.not.equal(first.stdout.toString().trim());
      expect(mac).to.match(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
    });

    it('ends what it began when another VM is wanted, and begins with that one the next time', async () => {
      const path = memo();
      const before = readFileSync(path, 'utf8');
      writeFileSync(path, before.replace('"memoryMib":256', '"memoryMib":192'));
      const { code, stdout, stderr } = await run('--', 'sed', '-n', 's/^MemTotal: *//p', '/proc/meminfo');
      expect(code, stderr).to.equal(0);
      expect(Number.parseInt(stdout.toString(), 10)).to.be.greaterThan(200_000);
      expect(readFileSync(path, 'utf8')).to.equal(before);
    });

    if (driver === 'qemu') {
      it('does so with a clone of a template, and goes on without one that was made anew', async () => {
        await sandbox.configure({ templates: { directory: join(sandbox.root, 'templates') } });
        const create = ['template', 'create', 'small', '--driver', driver, '--memory', '128m', '--nics', '0'];
        // A clone is begun by the program.
        const clone = () => run('--template', 'small', '--network', 'none', '--', 'sh', '-c', 'hostname; date +%s');
        expect((await sandbox.run(create)).code).to.equal(0);
        const [first, second] = [await clone(), await clone()];
        expect(first.stderr).to.not.match(ahead);
        expect(ahead.exec(second.stderr)?.slice(1, 3)).to.deep.equal(['true', 'true']);
        const [hostname, seconds] = second.stdout.toString().split('\n');
        expect(hostname)
          .to.match(/^pod-[0-9a-f]{10}$/)
          .and.not.equal(first.stdout.toString().split('\n')[0]);
        expect(Number(seconds)).to.be.within(Date.now() / 1000 - 60, Date.now() / 1000 + 2);
        expect((await sandbox.run([...create, '--replace'])).code).to.equal(0);
        const third = await clone();
        expect(third.code, third.stderr).to.equal(0);
        expect(third.stderr).to.not.match(/"wanted":true/);
      });
    }

    if (driver === 'uml' && by === 'launcher') {
      it('begins the user-mode network, too, and another where another is wanted', async () => {
        const path = memo();
        const before = readFileSync(path, 'utf8');
        const parts = before.split('192.168.123.0/24');
        expect(parts).to.have.length(2);
        const address = async () => {
          const child = sandbox.start([...command, '--', 'sh', '-c', 'ip -4 -o addr show scope global; sleep 1'], {
            launcher: true,
          });
          const finished = finish(child);
          await once(child.stdout as NodeJS.EventEmitter, 'data');
          const networks = slirps(child.pid as number);
          const ended = childrenOf(child.pid as number).filter((pid) => readProcess(pid)?.state === 'Z');
          expect(ended, 'children that nobody waits for').to.deep.equal([]);
          const { code, stdout, stderr } = await finished;
          expect(code, stderr).to.equal(0);
          return [networks.length, /inet (\S+)/.exec(stdout.toString())?.[1]];
        };
        expect(await address()).to.deep.equal([1, '192.168.123.15/24']);
        writeFileSync(path, parts.join('192.168.124.0/24'));
        expect(await address()).to.deep.equal([1, '192.168.123.15/24']);
        expect(readFileSync(path, 'utf8')).to.equal(before);
      });
    }

    it('has no standard streams where it was given none, and its own files for none of them', async () => {
      const given =
        by === 'launcher' ? [launcherPath, 'ahead', programs, process.execPath, program] : [process.execPath, program];
      const argv = ['-c', 'exec "$@" <&- >&- 2>&-', 'sh', ...given, ...command, '--', 'sh', '-c', 'echo x; exit 7'];
      for (let round = 0; round < 2; round++) {
        const env = { ...process.env, HYPERPLUG_CONFIG: sandbox.configPath };
        expect(spawnSync('sh', argv, { cwd: sandbox.root, env, timeout: 60_000 }).status).to.equal(7);
        expect(await sandbox.leftovers()).to.deep.equal([]);
      }
    });

    it('goes on without what cannot be begun', async () => {
      const path = memo();
      const before = readFileSync(path, 'utf8');
      writeFileSync(path, before.replaceAll('/initramfs', '/elsewhere'));
      expect((await run('--', 'echo', 'well')).stdout.toString()).to.equal('well\n');
      expect(readFileSync(path, 'utf8')).to.equal(before);
    });
  });
}

/** Those of a command: children of the nsenter that is its child. */
const slirps = (pid: number) =>
  childrenOf(pid)
    .flatMap(childrenOf)
    .filter((each) => processArgv(each)?.[0]?.endsWith('slirp4netns'));

describe('a command that begins with the hypervisor in vain', function () {
  this.timeout(300_000);
  let sandbox: Sandbox;
  const args = ['run', '--driver', 'uml', '--', 'true'];
  const launcher = true;

  before(async () => {
    sandbox = await Sandbox.make();
    expect((await sandbox.run(['image', 'build'], { timeoutMs: 600_000 })).code).to.equal(0);
  });

  after(async () => {
    expect(await sandbox.leftovers()).to.deep.equal([]);
    await sandbox.dispose();
  });

  it('leaves nothing when it fails before it wants a VM, and does not begin so again', async () => {
    expect((await sandbox.run(args)).code).to.equal(0);
    expect(sandbox.memos()).to.have.length(1);
    await sandbox.configure({ pods: { bootTimeoutMs: 'soon' } });
    const { code, stderr } = await sandbox.run(args, { launcher });
    expect(code).to.equal(125);
    expect(stderr).to.include('bootTimeoutMs');
    expect(await sandbox.leftovers()).to.deep.equal([]);
    expect(readdirSync(join(sandbox.root, 'state/pods'))).to.deep.equal([]);
    expect(sandbox.memos()).to.deep.equal([]);
    await sandbox.configure({});
  });

  for (const [what, change] of [
    ['driver', { hypervisor: { driver: 'qemu' } }],
    ['state directory', { paths: ['other-state', 'run'] }],
    ['runtime directory', { paths: ['state', 'other-run'] }],
  ] as const) {
    it(`in vain, as another ${what} was configured since, does what it would without, and leaves nothing`, async () => {
      const command = ['run', '--', 'sh', '-c', 'hostname; sleep 1'];
      const [state, run] = 'paths' in change ? change.paths : ['state', 'run'];
      const at = (name: string) => join(sandbox.root, name);
      const paths = { stateDirectory: at(state), runtimeDirectory: at(run) };
      await sandbox.configure({ hypervisor: { driver: 'uml' } });
      expect((await sandbox.run(command)).code).to.equal(0);
      await sandbox.configure({ hypervisor: { driver: 'uml' }, ...change, paths });
      const child = sandbox.start(command, { launcher });
      const ended = finish(child);
      await once(child.stdout as NodeJS.EventEmitter, 'data');
      const umls = processesNaming(at('')).filter(({ command: text }) => text.includes(' outer '));
      expect(umls).to.have.length(what === 'driver' ? 0 : 1);
      expect((await ended).code).to.equal(0);
      for (const place of ['state/pods', 'run/pods', 'run/locks', `${state}/pods`, `${run}/pods`, `${run}/locks`]) {
        expect(readdirSync(at(place)), place).to.deep.equal([]);
      }
      await sandbox.configure({});
    });
  }

  it('leaves it to a daemon that has come up since', async () => {
    await sandbox.configure({ hypervisor: { driver: 'uml' } });
    const command = ['run', '--', 'echo', 'well'];
    expect((await sandbox.run(command)).code).to.equal(0);
    const daemon = sandbox.start(['daemon']);
    const ended = finish(daemon);
    await eventually(async () => expect(existsSync(join(sandbox.root, 'run/daemon.sock'))).to.equal(true), 60_000);
    for (let round = 0; round < 2; round++) {
      const { code, stdout, stderr } = await sandbox.run(command, { launcher });
      expect(code, stderr).to.equal(0);
      expect(stdout.toString()).to.equal('well\n');
    }
    daemon.kill('SIGTERM');
    expect((await ended).code).to.equal(0);
    await sandbox.configure({});
  });

  it('in a directory that has gone is as it would be without', async () => {
    const gone = join(sandbox.root, 'gone');
    mkdirSync(gone);
    const script = 'cd "$1"; rmdir "$1"; shift; exec "$@"';
    const argv = ['-c', script, 'sh', gone, process.execPath, program, 'run', '--help'];
    expect(execFileSync('sh', argv, { encoding: 'utf8' })).to.include('hyperplug run');
  });

  for (const by of ['launcher', 'program']) {
    const options = { launcher: by === 'launcher' };

    it(`interrupted while it loads, leaves nothing (begun by the ${by})`, async () => {
      expect((await sandbox.run(args)).code).to.equal(0);
      for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
        const child = sandbox.start(args, options);
        const ended = finish(child);
        await eventually(async () => expect(processesNaming(join(sandbox.root, 'run/pods'))).to.not.be.empty, 60_000);
        child.kill(name);
        const { code, signal } = await ended;
        // Before the program listens it ends as any other.
        expect(signal ?? code).to.equal(options.launcher && signal ? name : 128 + constants.signals[name]);
        await eventually(async () => expect(await sandbox.leftovers()).to.deep.equal([]), 20_000);
        expect(readdirSync(join(sandbox.root, 'state/pods'))).to.deep.equal([]);
        expect((await sandbox.run(args)).code).to.equal(0);
      }
    });
  }

  it('killed while node starts, leaves nothing', async () => {
    expect((await sandbox.run(args)).code).to.equal(0);
    const child = sandbox.start(args, { launcher });
    const ended = finish(child);
    await eventually(async () => expect(processesNaming(join(sandbox.root, 'run/pods'))).to.not.be.empty, 60_000);
    child.kill('SIGKILL');
    expect((await ended).signal).to.equal('SIGKILL');
    await eventually(async () => expect(await sandbox.leftovers()).to.deep.equal([]), 20_000);
    expect(readdirSync(join(sandbox.root, 'state/pods'))).to.deep.equal([]);
  });

  it('killed before its pod has a record, leaves no process, and files only until the next start', async () => {
    expect((await sandbox.run(args)).code).to.equal(0);
    const pods = join(sandbox.root, 'run/pods');
    const child = sandbox.start(args);
    const ended = finish(child);
    await eventually(async () => expect(existsSync(pods) && readdirSync(pods)).to.not.be.empty, 60_000);
    child.kill('SIGKILL');
    expect((await ended).signal).to.equal('SIGKILL');
    const processes = async () => (await sandbox.leftovers()).filter((left) => left.startsWith('process '));
    await eventually(async () => expect(await processes()).to.deep.equal([]), 20_000);
    expect((await sandbox.run(args)).code).to.equal(0);
    expect(await sandbox.leftovers()).to.deep.equal([]);
    expect(readdirSync(join(sandbox.root, 'state/pods'))).to.deep.equal([]);
  });
});
