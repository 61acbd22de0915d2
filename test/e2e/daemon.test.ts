import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { connectHyperplug } from '../../src/client/index.js';
import type { PodDetails, PodStatus } from '../../src/index.js';
import { eventually } from '../support/eventually.js';
import { requireOrSkip } from '../support/require.js';
import { type Finished, finish, processesNaming, repository, Sandbox } from '../support/sandbox.js';

/** One VM throughout: daemons come and go above it. */
describe('hyperplug daemon', function () {
  this.timeout(600_000);
  let sandbox: Sandbox;
  let daemon: ChildProcess;
  let ended: Promise<Finished>;
  let beside: Promise<Finished>;
  const socket = () => join(sandbox.root, 'run', 'daemon.sock');

  async function startDaemon(): Promise<void> {
    daemon = sandbox.start(['daemon', '--log-level', 'info', '--log-format', 'json']);
    let said = '';
    daemon.stderr?.on('data', (chunk: Buffer) => {
      said += chunk;
    });
    ended = finish(daemon, { timeoutMs: 600_000 });
    await eventually(async () => expect(said).to.include('listening at'), 60_000);
  }
  const run = (args: string[], input?: Buffer | string) => sandbox.run(args, input === undefined ? {} : { input });
  const ok = async (args: string[], input?: Buffer | string): Promise<string> => {
    const { code, stdout, stderr } = await run(args, input);
    expect(code, stderr).to.equal(0);
    return stdout.toString();
  };
  const guestProcesses = () => ok(['exec', 'kept', 'sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "']);
  const qemus = (id: string) =>
    processesNaming(join(sandbox.root, 'run', 'pods', id)).filter(({ command }) => /qemu/.test(command));

  before(async () => {
    sandbox = await Sandbox.make();
    expect((await sandbox.run(['image', 'build'], { timeoutMs: 600_000 })).code).to.equal(0);
    await startDaemon();
  });
  after(async () => {
    await run(['rm', '--force', 'kept']);
    daemon.kill('SIGTERM');
    await ended;
    expect(await sandbox.leftovers()).to.deep.equal([]);
    await sandbox.dispose();
  });

  it('listens where it should, for its owner alone, and a second one is refused', async () => {
    expect(statSync(socket()).mode & 0o777).to.equal(0o600);
    expect(statSync(join(sandbox.root, 'run')).mode & 0o777).to.equal(0o700);
    const second = await run(['daemon']);
    expect(second.code).to.equal(125);
    expect(second.stderr).to.include('DAEMON_RUNNING').and.include(String(daemon.pid));
    expect(JSON.parse(await ok(['ps', '--json']))).to.deep.equal([]);
  });

  it('makes a kept pod for a command, holds it, and others use it meanwhile', async () => {
    const made = await run(['run', '--keep', '--name', 'kept', '--', 'sh', '-c', 'echo first >/tmp/f; echo made']);
    expect(made.code, made.stderr).to.equal(0);
    expect(made.stdout.toString()).to.equal('made\n');
    const both = await Promise.all(
      ['a', 'b', 'c'].map((word) => ok(['exec', 'kept', 'sh', '-c', `cat /tmp/f; echo ${word}`])),
    );
    expect(both).to.deep.equal(['first\na\n', 'first\nb\n', 'first\nc\n']);
    // It waits for its turn first, meanwhile the others are served.
    beside = run(['--no-daemon', 'exec', 'kept', 'true']);
    const failed = await run(['exec', 'kept', 'sh', '-c', 'echo out; echo err >&2; exit 3']);
    expect([failed.code, failed.stdout.toString(), failed.stderr]).to.deep.equal([3, 'out\n', 'err\n']);
    expect((await run(['exec', 'kept', 'no-such-program'])).code).to.equal(127);
  });

  it('carries 100 MB in and back unchanged', async () => {
    const block = randomBytes(1024 * 1024);
    const input = Buffer.concat(Array.from({ length: 100 }, () => block));
    const { code, stdout, stderr } = await run(['exec', '-i', 'kept', 'cat'], input);
    expect(code, stderr).to.equal(0);
    const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex');
    expect(stdout.length).to.equal(input.length);
    expect(digest(stdout)).to.equal(digest(input));
  });

  it('a client that is killed takes its command and its own pod along', async () => {
    const command = sandbox.start(['exec', 'kept', 'sh', '-c', 'echo up; exec sleep 4321']);
    const alone = sandbox.start(['run', '--name', 'alone', '--', 'sh', '-c', 'echo up; sleep 1000']);
    const [one, other] = [finish(command), finish(alone)];
    await Promise.all([command, alone].map((child) => once(child.stdout as NodeJS.EventEmitter, 'data')));
    expect(await guestProcesses()).to.include('sleep 4321');
    for (const child of [command, alone]) child.kill('SIGKILL');
    await Promise.all([one, other]);
    await eventually(async () => {
      expect(await guestProcesses()).to.not.include('sleep 4321');
      expect((JSON.parse(await ok(['ps', '--all', '--json'])) as PodStatus[]).map(({ id }) => id)).to.deep.equal([
        'kept',
      ]);
      expect(qemus('alone')).to.deep.equal([]);
    }, 60_000);
  });

  it('gives an interactive command a terminal of the right size', async function () {
    requireOrSkip(this, existsSync('/usr/bin/script'), 'script(1) of bsdutils is not installed');
    const main = join(repository, 'dist/bundle/cli/main.js');
    const line = `stty rows 33 cols 99; exec '${process.execPath}' '${main}' exec -it kept sh`;
    const child = spawn('script', ['-qfec', line, '/dev/null'], {
      env: { ...process.env, HYPERPLUG_CONFIG: sandbox.configPath, TERM: 'xterm', SHELL: '/bin/sh' },
      stdio: 'pipe',
      timeout: 120_000,
    });
    let screen = '';
    child.stdout.on('data', (chunk: Buffer) => {
      screen += chunk;
    });
    child.stdin.on('error', () => {});
    const shows = (pattern: RegExp) => eventually(async () => expect(screen).to.match(pattern), 60_000);
    const closed = once(child, 'close');
    await shows(/# /);
    child.stdin.write('stty size; sleep 1000\r');
    await shows(/\r\n33 99\r\n/);
    await eventually(async () => {
      child.stdin.write('\x03');
      expect(screen).to.match(/\^C\r\n/);
    }, 20_000);
    child.stdin.write('exit 5\r');
    expect((await closed)[0]).to.equal(5);
  });

  it('a command that goes by it is told at last who has the pod', async () => {
    const { code, stderr } = await beside;
    expect(code).to.equal(125);
    expect(stderr).to.include('POD_BUSY').and.include(String(daemon.pid));
  });

  it('is killed: the VM runs on, the next one takes it over, and commands run again', async () => {
    const [before] = qemus('kept');
    const waiting = run(['exec', 'kept', 'sleep', '1234']);
    await eventually(async () => {
      expect(await guestProcesses()).to.include('sleep 1234');
    }, 30_000);
    daemon.kill('SIGKILL');
    await ended;
    const lost = await waiting;
    expect([lost.code, lost.stderr]).to.satisfy(
      ([code, text]: [number, string]) => code === 125 && /DAEMON_LOST/.test(text),
    );
    expect(qemus('kept').map(({ pid }) => pid)).to.deep.equal([before?.pid]);
    await startDaemon();
    expect(await ok(['exec', 'kept', 'cat', '/tmp/f'])).to.equal('first\n');
    expect(qemus('kept').map(({ pid }) => pid)).to.deep.equal([before?.pid]);
  });

  it('ends: the VM runs on, and a command without a daemon goes on with it; then a daemon again', async () => {
    daemon.kill('SIGTERM');
    expect((await ended).code).to.equal(0);
    expect(existsSync(socket())).to.equal(false);
    expect(await ok(['exec', 'kept', 'cat', '/tmp/f'])).to.equal('first\n');
    const named = await run(['--socket', socket(), 'ps']);
    expect(named.stderr).to.include('DAEMON_UNREACHABLE');
    await startDaemon();
    expect(await ok(['exec', 'kept', 'cat', '/tmp/f'])).to.equal('first\n');
  });

  it("a VM that dies is known at once, by the daemon's client too", async () => {
    const hyperplug = await connectHyperplug({ socketPath: socket() });
    try {
      const pod = await hyperplug.openPod('kept');
      const waiting = hyperplug.pods.wait('kept');
      process.kill(qemus('kept')[0]?.pid as number, 'SIGKILL');
      const { reason } = await pod.exited;
      expect(reason).to.be.oneOf(['killed', 'unknown', 'crashed']);
      const details: PodDetails = await waiting;
      expect(details.state).to.equal('failed');
      expect(details.failure).to.be.a('string');
      expect((await run(['exec', 'kept', 'true'])).stderr).to.include('POD_NOT_RUNNING');
    } finally {
      await hyperplug.close();
    }
  });
});
