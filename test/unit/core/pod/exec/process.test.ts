import { constants } from 'node:os';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { HyperplugError } from '../../../../../src/core/errors.js';
import { type ExecError, isExecError } from '../../../../../src/core/pod/exec/error.js';
import { ExecProcess } from '../../../../../src/core/pod/exec/process.js';
import type { ExecOptions } from '../../../../../src/core/pod/exec/types.js';
import { FakeProcess, type Program } from '../../../../support/cli/fake-engine.js';
import { until } from '../../../../support/cli/fake-io.js';
import { rejects } from '../../../../support/rejects.js';

const { SIGKILL, SIGPIPE, SIGTERM } = constants.signals;

/** Runs `program` as the command. */
function exec<const O extends ExecOptions>(program: Program, options: O = {} as O, argv: readonly string[] = ['prog']) {
  const started: FakeProcess[] = [];
  const process = new ExecProcess<O>(
    argv,
    options,
    async (request, signal) => {
      signal.throwIfAborted();
      const guest = new FakeProcess(request);
      started.push(guest);
      await new Promise(setImmediate);
      void program(guest);
      return guest;
    },
    async (error) => error,
  );
  return { process, started };
}

const failure = (promise: PromiseLike<unknown>): Promise<ExecError> =>
  Promise.resolve(promise).then(
    () => {
      throw new Error('expected an ExecError, but it resolved');
    },
    (error: unknown) => {
      if (!isExecError(error)) throw error;
      return error;
    },
  );

/** Dies of a signal, as the agent tells it. */
const mortal: Program = (guest) => {
  guest.onSignal = (signal) => {
    guest.stdout.end();
    guest.stderr.end();
    guest.resolveExit({ exitCode: 128 + signal, signal });
  };
};
const says =
  (words: string, exitCode: number): Program =>
  (guest) => {
    guest.stdout.write(words);
    guest.exit(exitCode);
  };
const cat: Program = async (guest) => {
  for await (const chunk of guest.stdin) guest.stdout.write(chunk);
  guest.exit(0);
};

describe('a command in a pod', () => {
  describe('its result', () => {
    it('is text without its last newline, with what is known of its end', async () => {
      const { process, started } = exec(
        (guest) => {
          guest.stdout.write('one\ntwo\n');
          guest.stderr.write('hm\n');
          guest.exit(0);
        },
        { env: { A: '1' }, cwd: '/tmp', user: 'nobody' },
        ['prog', "it's"],
      );
      const { durationMs, ...result } = await process;
      expect(result).to.deep.equal({
        argv: ['prog', "it's"],
        command: "prog 'it'\\''s'",
        exitCode: 0,
        signal: undefined,
        stdout: 'one\ntwo',
        stderr: 'hm',
        failed: false,
        timedOut: false,
        isCanceled: false,
        isMaxBuffer: false,
      });
      expect(durationMs).to.be.a('number');
      expect(started[0]?.request).to.deep.equal({
        argv: ['prog', "it's"],
        env: { A: '1' },
        workingDirectory: '/tmp',
        user: 'nobody',
      });
    });
    it('is bytes, lines, or text as it came, where that is asked for', async () => {
      const program: Program = (guest) => {
        guest.stdout.write(Buffer.from([0xff, 0x0a]));
        guest.stderr.write('a\r\nb\n\nc');
        guest.exit(0);
      };
      const bytes = await exec(program, { encoding: 'buffer' }).process;
      expect([...bytes.stdout]).to.deep.equal([0xff, 0x0a]);
      expect((await exec(program, { lines: true }).process).stderr).to.deep.equal(['a', 'b', '', 'c']);
      expect((await exec(program, { encoding: 'hex' }).process).stdout).to.equal('ff0a');
      const whole = await exec(says('x\n', 0), {
        stripFinalNewline: false,
      }).process;
      expect(whole.stdout).to.equal('x\n');
    });
    it('is an error with all of it when the exit code is not 0', async () => {
      const program: Program = (guest) => {
        guest.stdout.write('half');
        guest.stderr.write('no such thing\n');
        guest.exit(3);
      };
      const error = await failure(exec(program, {}, ['ls', '/x']).process);
      expect(error).to.include({ code: 'POD_COMMAND_FAILED', exitCode: 3, stdout: 'half', stderr: 'no such thing' });
      expect(error.message).to.equal('ls /x: ended with exit code 3');
      expect(error.details).to.include({ exitCode: 3, stderrTail: 'no such thing' });
      expect(error).to.be.instanceOf(HyperplugError);
      const result = await exec(program, { reject: false }).process;
      expect(result).to.include({ exitCode: 3, failed: true, stdout: 'half' });
    });
    it('names the signal that ended it', async () => {
      const { process, started } = exec(mortal);
      await process.started;
      await process.kill('SIGKILL');
      const error = await failure(process);
      expect(error).to.include({ signal: 'SIGKILL', exitCode: 137 });
      expect(started[0]?.signals).to.deep.equal([SIGKILL]);
      await process.kill();
    });
    it('is what the start failed with, whatever `reject` says', async () => {
      const refused = new HyperplugError('AGENT_EXEC_FAILED', 'no such file');
      const process = new ExecProcess(
        ['prog'],
        { reject: false },
        () => Promise.reject(refused),
        async (error) => error,
      );
      await rejects(process, 'AGENT_EXEC_FAILED');
      await rejects(process.started, 'AGENT_EXEC_FAILED');
      expect(await text(process.stdout)).to.equal('');
    });
    it('comes when its output has ended too, however late that is', async () => {
      const { process, started } = exec((guest) => guest.resolveExit({ exitCode: 0 }));
      setTimeout(() => {
        started[0]?.stdout.end('late');
        started[0]?.stderr.end();
      }, 30);
      expect((await process).stdout).to.equal('late');
    });
  });

  describe('its input', () => {
    it('is text, bytes, or whatever can be iterated; and then at its end', async () => {
      expect((await exec(cat, { input: 'text' }).process).stdout).to.equal('text');
      expect((await exec(cat, { input: new Uint8Array([65, 66]) }).process).stdout).to.equal('AB');
      expect((await exec(cat, { input: Readable.from(['a', 'b']) }).process).stdout).to.equal('ab');
      const pieces = async function* () {
        yield 'x';
        yield Buffer.from('y');
      };
      expect((await exec(cat, { input: pieces() }).process).stdout).to.equal('xy');
    });
    it('is at its end from the start, unless stdin is taken in the turn of the call', async () => {
      expect((await exec(cat).process).stdout).to.equal('');
      const { process } = exec(cat);
      const { stdin } = process;
      await process.started;
      stdin.write('late ');
      stdin.end('but there');
      expect((await process).stdout).to.equal('late but there');
    });
    it('may be left unread', async () => {
      const endless = async function* () {
        for (;;) yield Buffer.alloc(65_536);
      };
      const { process } = exec(
        (guest) => {
          guest.stdin.destroy();
          guest.exit(0);
        },
        { input: endless() },
      );
      expect((await process).exitCode).to.equal(0);
    });
    it('that fails has the command killed, and is the cause', async () => {
      const broken = async function* () {
        yield 'a';
        throw new Error('disk on fire');
      };
      const error = await failure(exec(mortal, { input: broken() }).process);
      expect(error.code).to.equal('POD_COMMAND_FAILED');
      expect(error.message).to.contain('disk on fire');
    });
  });

  describe('its output as it comes', () => {
    it('is lines, of any cut, and the loop ends as the promise', async () => {
      const { process } = exec(async (guest) => {
        for (const part of ['a', 'b\nc\r', '\n', '\n', 'é'.slice(0), 'end']) {
          guest.stdout.write(part);
          await new Promise(setImmediate);
        }
        guest.exit(0);
      });
      const lines: string[] = [];
      for await (const line of process) lines.push(line);
      expect(lines).to.deep.equal(['ab', 'c', '', 'éend']);
      const failing = exec((guest) => {
        guest.stderr.write('x\n');
        guest.exit(4);
      }).process;
      const seen: string[] = [];
      const error = await failure(
        (async () => {
          for await (const line of failing.iterable({ from: 'stderr' })) seen.push(line);
        })(),
      );
      expect([seen, error.exitCode]).to.deep.equal([['x'], 4]);
    });
    it('may be more than is collected, where it is iterated', async () => {
      const { process } = exec(
        async (guest) => {
          for (let line = 0; line < 1000; line++) guest.stdout.write('0123456789\n');
          guest.exit(0);
        },
        { maxBufferBytes: 100 },
      );
      let count = 0;
      for await (const line of process) count += line.length === 10 ? 1 : 0;
      expect(count).to.equal(1000);
      expect((await process).stdout).to.equal('');
    });
    it('has the command killed when its reader leaves', async () => {
      const { process, started } = exec((guest) => {
        void mortal(guest);
        guest.stdout.write('one\ntwo\n');
      });
      for await (const line of process) {
        expect(line).to.equal('one');
        break;
      }
      expect(started[0]?.signals).to.deep.equal([SIGTERM]);
    });
    it('is at its reader’s pace, and collected besides', async () => {
      let written = 0;
      const { process } = exec(async (guest) => {
        for (; written < 64; written++) {
          if (!guest.stdout.write(Buffer.alloc(65_536, 65))) {
            await new Promise((resolve) => guest.stdout.once('drain', resolve));
          }
        }
        guest.exit(0);
      });
      const { stdout } = process;
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(written).to.be.below(10);
      const [read, result] = await Promise.all([text(stdout), process]);
      expect([read.length, result.stdout.length]).to.deep.equal([64 * 65_536, 64 * 65_536]);
    });
    it('goes into another command, whose result it is', async () => {
      const source = exec(says('through', 0)).process;
      expect((await source.pipe(exec(cat).process)).stdout).to.equal('through');
      const failing = exec(says('half', 9)).process;
      expect((await failure(failing.pipe(exec(cat).process))).exitCode).to.equal(9);
    });
    it('ends by SIGPIPE, which is no failure, when the other command reads no more', async () => {
      const source = exec(async (guest) => {
        void mortal(guest);
        while (guest.signals.length === 0) {
          guest.stdout.write(Buffer.alloc(1000));
          await new Promise(setImmediate);
        }
      });
      const head = exec((guest) => {
        guest.stdin.once('data', () => {
          guest.stdin.destroy();
          guest.stdout.write('first');
          guest.exit(0);
        });
      }).process;
      expect((await source.process.pipe(head)).stdout).to.equal('first');
      expect(source.started[0]?.signals).to.deep.equal([SIGPIPE]);
    });
  });

  describe('that is not to go on', () => {
    it('is killed when its time is over', async () => {
      const { process, started } = exec(mortal, { timeoutMs: 20 });
      const error = await failure(process);
      expect(error).to.include({ code: 'TIMEOUT', timedOut: true, signal: 'SIGTERM', isCanceled: false });
      expect(started[0]?.signals).to.deep.equal([SIGTERM]);
    });
    it('is killed by force when it does not listen', async () => {
      const stubborn: Program = (guest) => {
        guest.onSignal = (signal) => {
          if (signal === SIGKILL) guest.exit(137);
        };
      };
      const { process, started } = exec(stubborn, { timeoutMs: 5, forceKillAfterMs: 10, killSignal: 'SIGINT' });
      expect((await failure(process)).timedOut).to.equal(true);
      expect(started[0]?.signals).to.deep.equal([constants.signals.SIGINT, SIGKILL]);
    });
    it('is killed when the signal fires, with the reason', async () => {
      const controller = new AbortController();
      const { process, started } = exec(mortal, { signal: controller.signal });
      await until(() => started.length === 1, 'the command');
      controller.abort(new Error('changed my mind'));
      const error = await failure(process);
      expect(error).to.include({ code: 'ABORTED', isCanceled: true });
      expect((error.cause as HyperplugError).cause).to.include({ message: 'changed my mind' });
      expect(started[0]?.signals).to.deep.equal([SIGTERM]);
    });
    it('is not started when the signal has fired', async () => {
      const { process, started } = exec(mortal, { signal: AbortSignal.abort() });
      expect(await failure(process)).to.include({ code: 'ABORTED', exitCode: undefined });
      expect(started).to.deep.equal([]);
    });
    it('is killed when it writes too much, and what it wrote is cut there', async () => {
      const { process } = exec(
        (guest) => {
          void mortal(guest);
          guest.stdout.write('0123456789');
        },
        { maxBufferBytes: 4 },
      );
      const error = await failure(process);
      expect(error).to.include({ code: 'POD_COMMAND_FAILED', isMaxBuffer: true, stdout: '0123' });
    });
    it('is let go though its children hold its output open', async () => {
      const { process } = exec((guest) => guest.resolveExit({ exitCode: 0 }), { timeoutMs: 30 });
      expect(await failure(process)).to.include({ timedOut: true, exitCode: 0 });
    });
    it('is killed when it goes out of scope', async () => {
      const { process, started } = exec(mortal);
      {
        await using scoped = process;
        await scoped.started;
      }
      expect(started[0]?.signals).to.deep.equal([SIGTERM]);
      expect((await failure(process)).isCanceled).to.equal(true);
    });
    it('leaves no timer and no listener', async () => {
      const controller = new AbortController();
      await exec((guest) => guest.exit(0), { signal: controller.signal, timeoutMs: 1_000_000 }).process;
      controller.abort();
      // The runner's process would not end with that timer; and nothing is told of the abort.
    });
  });

  it('refuses what is no command and no option, at once', () => {
    const wrong: [unknown, object, RegExp][] = [
      [[], {}, /argv: expected at least the program/],
      ['ls', {}, /argv: expected an array/],
      [['a', 1], {}, /argv\[1\]: expected text/],
      [['a\0'], {}, /argv\[0\].*NUL/],
      [['a'], { timeout: 5 }, /options\.timeout: no such option, use timeoutMs/],
      [['a'], { timeoutMs: -1 }, /options\.timeoutMs/],
      [['a'], { input: 'x', stdin: 'pipe' }, /options\.stdin/],
      [['a'], { killSignal: 'SIGNONE' }, /signal: expected/],
    ];
    for (const [argv, options, message] of wrong) {
      expect(() => exec(cat, options, argv as string[])).to.throw(TypeError, message);
    }
  });
});
