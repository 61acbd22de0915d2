import { expect } from 'chai';
import { HyperplugError } from '../../../../src/core/errors.js';
import { BASE_ENV } from '../../../../src/core/pod/pod-handle.js';
import { FakeHyperplug, firstProcess, type Program } from '../../../support/cli/fake-engine.js';
import { cli, FakeIo, until } from '../../../support/cli/fake-io.js';

const SIGINT = 2;
const SIGKILL = 9;
const SIGPIPE = 13;
const SIGTERM = 15;

const exits =
  (code: number): Program =>
  (process) =>
    process.exit(code);

describe('hyperplug run, to its end', () => {
  describe('signals', () => {
    const running = async (program: Program = () => {}, argv = ['run', 'x'], io = new FakeIo()) => {
      const hyperplug = FakeHyperplug.running(program);
      const end = cli(argv, { io, hyperplug });
      await until(() => hyperplug.made[0]?.fake.started.length === 1, 'the command');
      const process = firstProcess(hyperplug);
      await new Promise((resolve) => setTimeout(resolve, 10));
      return { io, hyperplug, process, end };
    };
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

    it('SIGINT, SIGTERM, SIGHUP and SIGQUIT are the command’s', async () => {
      for (const [signal, number] of [
        ['SIGINT', 2],
        ['SIGTERM', 15],
        ['SIGHUP', 1],
        ['SIGQUIT', 3],
      ] as const) {
        const { io, process, end } = await running();
        io.signals.emit(signal);
        await until(() => process.signals.length === 1, signal);
        expect(process.signals).to.deep.equal([number]);
        process.exit(33);
        expect((await end).exitCode).to.equal(33);
      }
    });
    it('the echo of a wrapper counts once', async () => {
      const { io, process, end } = await running();
      io.signals.emit('SIGINT');
      io.signals.emit('SIGINT');
      await pause(20);
      process.exit(5);
      expect((await end).exitCode).to.equal(5);
      expect(process.signals).to.deep.equal([SIGINT]);
    });
    it('a second Ctrl-C gives up: the pod is removed, 130', async () => {
      const { io, process, hyperplug, end } = await running();
      io.signals.emit('SIGINT');
      await pause(150);
      io.signals.emit('SIGINT');
      expect((await end).exitCode).to.equal(130);
      expect(process.signals).to.deep.equal([SIGINT]);
      expect(hyperplug.made[0]?.fake.removed).to.equal(true);
    });
    it('and in a pod that stays the command is killed', async () => {
      const { io, process, hyperplug, end } = await running(undefined, ['run', '--keep', 'x']);
      io.signals.emit('SIGTERM');
      await pause(150);
      io.signals.emit('SIGTERM');
      expect((await end).exitCode).to.equal(143);
      expect(process.signals).to.deep.equal([SIGTERM, SIGKILL]);
      expect(hyperplug.made[0]?.fake).to.include({ removed: false, released: true });
    });
    it('during set-up abort it: 130, and all is undone', async () => {
      const io = new FakeIo();
      const hyperplug = FakeHyperplug.running(() => {});
      hyperplug.beforeCreate = ({ signal }) =>
        new Promise((_, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason));
          setTimeout(() => io.signals.emit('SIGINT'), 5);
        });
      const { exitCode, err } = await cli(['run', 'x'], { io, hyperplug });
      expect(exitCode).to.equal(130);
      expect(err).to.equal('hyperplug: ABORTED: interrupted by SIGINT\n');
      expect(hyperplug.closes).to.equal(1);
    });
    it('while things are undone are answered, then obeyed', async () => {
      const io = new FakeIo();
      const hyperplug = FakeHyperplug.running(exits(0));
      let finish = () => {};
      hyperplug.close = () =>
        new Promise((resolve) => {
          finish = resolve;
        });
      const end = cli(['run', 'x'], { io, hyperplug });
      await until(() => finish.name !== 'finish' || hyperplug.made.length > 0, 'close');
      await pause(50);
      io.signals.emit('SIGINT');
      expect(io.err.text).to.contain('cleaning up');
      expect(io.exits).to.deep.equal([]);
      await pause(120);
      io.signals.emit('SIGINT');
      expect(io.exits).to.deep.equal([130]);
      finish();
      await end;
    });
    it('leave no listeners', async () => {
      const { io, process, end } = await running();
      process.exit(0);
      await end;
      expect(io.signals.eventNames()).to.deep.equal([]);
    });
  });

  describe('a reader that is gone', () => {
    it('ends the command by SIGPIPE, quietly', async () => {
      const io = new FakeIo();
      const hyperplug = FakeHyperplug.running((process) => {
        const timer = setInterval(() => process.stdout.write('y\n'), 1);
        process.onSignal = (signal) => {
          clearInterval(timer);
          process.exit(128 + signal);
        };
      });
      setTimeout(() => io.out.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })), 30);
      const { exitCode, err } = await cli(['run', 'yes'], { io, hyperplug });
      expect(exitCode).to.equal(128 + SIGPIPE);
      expect(firstProcess(hyperplug).signals).to.deep.equal([SIGPIPE]);
      expect(err).to.equal('');
    });
    it('but a full disk is an error', async () => {
      const io = new FakeIo();
      const hyperplug = FakeHyperplug.running((process) => {
        process.onSignal = (signal) => process.exit(128 + signal);
      });
      setTimeout(() => io.out.destroy(Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' })), 30);
      const { exitCode, err } = await cli(['run', 'yes'], { io, hyperplug });
      expect(exitCode).to.equal(125);
      expect(err).to.equal('hyperplug: CLI_OUTPUT_FAILED: standard output: ENOSPC: no space left\n');
    });
  });

  it('--timeout ends the command by SIGTERM with exit code 124', async () => {
    const hyperplug = FakeHyperplug.running((process) => {
      process.stdout.write('begun\n');
      process.onSignal = (signal) => process.exit(128 + signal);
    });
    const { exitCode, out, err } = await cli(['run', '--timeout', '50ms', 'sleep'], { hyperplug });
    expect(exitCode).to.equal(124);
    expect(out).to.equal('begun\n');
    expect(err).to.match(/^hyperplug: TIMEOUT: /);
    expect(firstProcess(hyperplug).signals).to.deep.equal([SIGTERM]);
  });

  describe('errors', () => {
    const failing = (error: Error) =>
      new FakeHyperplug(async () => {
        throw error;
      });
    it('a command that cannot be started: 127 where it is missing, 126 else', async () => {
      const missing = new HyperplugError('AGENT_EXEC_FAILED', 'nope: No such file or directory', {
        details: { errno: 2 },
      });
      const denied = new HyperplugError('AGENT_EXEC_FAILED', '/etc: Permission denied', { details: { errno: 13 } });
      expect((await cli(['run', 'nope'], { hyperplug: failing(missing) })).exitCode).to.equal(127);
      const run = await cli(['run', '/etc'], { hyperplug: failing(denied) });
      expect(run.exitCode).to.equal(126);
      expect(run.err).to.equal('hyperplug: AGENT_EXEC_FAILED: /etc: Permission denied\n');
    });
    it('ours: 125, and the pod does not stay', async () => {
      const hyperplug = failing(new HyperplugError('AGENT_CLOSED', 'gone'));
      expect((await cli(['run', 'x'], { hyperplug })).exitCode).to.equal(125);
      expect(hyperplug.made[0]?.fake.removed).to.equal(true);
    });
    it('a VM that ends meanwhile is told as such', async () => {
      const hyperplug = FakeHyperplug.running((process) => {
        hyperplug.made[0]?.fake.endVm({ reason: 'crashed', exitCode: 1, signal: null, stderrTail: 'qemu: oh no\n' });
        const error = new HyperplugError('AGENT_CLOSED', 'the channel closed');
        process.rejectExit(error);
        process.stdout.destroy(error);
        process.stderr.destroy(error);
      });
      const { exitCode, err } = await cli(['run', 'x'], { hyperplug });
      expect(exitCode).to.equal(125);
      expect(err).to.match(/^hyperplug: VM_EXITED: the pod's VM crashed/);
      expect(err).to.contain('qemu: oh no');
      expect(err).to.contain('because: AGENT_CLOSED: the channel closed');
    });
  });

  describe('on a terminal', () => {
    const terminal = () => {
      const io = new FakeIo({ stdout: true, stderr: true });
      io.env = { TERM: 'xterm-256color' };
      io.size = { rows: 40, columns: 120 };
      return io;
    };
    it('without a command runs a shell', async () => {
      const io = terminal();
      const hyperplug = FakeHyperplug.running(exits(0));
      await cli(['run'], { io, hyperplug });
      expect(firstProcess(hyperplug).request).to.deep.equal({
        argv: ['/bin/sh'],
        env: { ...BASE_ENV, TERM: 'xterm-256color' },
        terminal: true,
        size: { rows: 40, columns: 120 },
      });
      expect(io.raw).to.deep.equal([true, false]);
    });
    it('elsewhere that is an error', async () => {
      const { exitCode, err } = await cli(['run']);
      expect(exitCode).to.equal(2);
      expect(err).to.match(/^hyperplug: CLI_USAGE: no command was given/);
    });
    it('forwards bytes, follows its size, and gives it back', async () => {
      const io = terminal();
      const hyperplug = FakeHyperplug.running((process) => {
        process.stdin.on('data', (data: Buffer) => {
          process.stdout.write(data.toString('hex'));
          if (data.includes('q')) process.exit(0);
        });
      });
      const end = cli(['run', '-it', 'x'], { io, hyperplug });
      await until(() => io.raw.length === 1, 'raw mode');
      const process = firstProcess(hyperplug);
      io.input.write('\x03');
      await until(() => io.out.text.includes('03'), 'the byte');
      io.size = { rows: 10, columns: 20 };
      io.signals.emit('SIGWINCH');
      await until(() => process.sizes.length === 1, 'resize');
      io.signals.emit('SIGTSTP');
      expect(io.suspended).to.equal(1);
      io.signals.emit('SIGCONT');
      io.input.write('q');
      expect((await end).exitCode).to.equal(0);
      expect(process.sizes).to.deep.equal([{ rows: 10, columns: 20 }]);
      expect(io.raw).to.deep.equal([true, false, false, true, false]);
    });
    it('gives it back when the pod fails', async () => {
      const io = terminal();
      const hyperplug = FakeHyperplug.running((process) => {
        hyperplug.made[0]?.fake.endVm({ reason: 'killed', exitCode: null, signal: 'SIGKILL', stderrTail: '' });
        process.rejectExit(new HyperplugError('AGENT_CLOSED', 'gone'));
      });
      expect((await cli(['run', '-it', 'x'], { io, hyperplug })).exitCode).to.equal(125);
      expect(io.raw).to.deep.equal([true, false]);
    });
  });
});
