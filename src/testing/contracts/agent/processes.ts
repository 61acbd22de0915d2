import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { GuestProcess } from '../../../core/agent.js';
import { outcomeOf } from '../../kit/assertions.js';
import { abortedCall, pause } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import { type AgentSuite, pattern } from './context.js';
import { type AgentContract, POSIX_PROGRAMS } from './types.js';

const SIGTERM = 15;
const SIGKILL = 9;
const CONCURRENT = 16;

export function processContract({ describe, check }: AgentSuite, contract: AgentContract): void {
  const { capabilities, features, programs = POSIX_PROGRAMS, muchBytes = 4 << 20 } = contract;

  describe('processes', () => {
    check('a process that ends says its exit code', async ({ connect, run }) => {
      const session = await connect();
      assert.equal((await run(session, programs.succeed)).exitCode, 0);
      for (const code of [1, 3, 126, 255]) assert.equal((await run(session, programs.exit(code))).exitCode, code);
    });

    check('stdout and stderr are kept apart', async ({ connect, run }) => {
      const { stdout, stderr, exitCode } = await run(await connect(), programs.print('to out', 'to err'));
      assert.deepEqual([stdout.toString(), stderr.toString(), exitCode], ['to out', 'to err', 0]);
    });

    check('stdin arrives, and its end does: an empty one, and a short one', async ({ connect, run }) => {
      const session = await connect();
      assert.equal((await run(session, programs.cat)).stdout.length, 0);
      assert.equal((await run(session, programs.cat, 'one\ntwo')).stdout.toString(), 'one\ntwo');
    });

    check('every byte value goes through, at every size around the usual limits', async ({ connect, run }) => {
      const session = await connect();
      for (const size of [1, 255, 256, 511, 512, 513, 4095, 4096, 4097, 65_537]) {
        const sent = pattern(size, size);
        assert.ok((await run(session, programs.cat, sent)).stdout.equals(sent), `${size} bytes were changed`);
      }
    });

    check('much data goes through unchanged, though the reader is slow', async (context) => {
      const { connect, exec, within } = context;
      const process = await exec(await connect(), programs.cat);
      const sent = pattern(muchBytes);
      process.stdin.end(sent);
      const received: Buffer[] = [];
      const reading = (async () => {
        let pauses = 8;
        for await (const chunk of process.stdout) {
          received.push(chunk as Buffer);
          if (pauses-- > 0) await pause(15);
        }
      })();
      await within(Promise.all([reading, process.exited]), 'the data');
      const all = Buffer.concat(received);
      assert.equal(all.length, sent.length);
      assert.ok(all.equals(sent), 'the data was changed');
    });

    check('stdin is held up when the process does not read: what is buffered stays bounded', async (context) => {
      const { connect, exec, options, timeouts, within } = context;
      const process = await exec(await connect(), programs.sleep);
      process.stdin.on('error', () => {});
      const block = Buffer.alloc(64 << 10);
      let done = 0;
      // 16 MiB is beyond every buffer on the way; a pipe holds 64 KiB.
      const writing = (async () => {
        for (; done < 256; done++) {
          await new Promise<void>((resolve) => void process.stdin.write(block, () => resolve()));
          if (process.stdin.destroyed) return;
        }
      })();
      await Promise.race([writing, pause(timeouts.shortMs)]);
      assert.ok(done < 256, 'writes are done though nobody has read them');
      await process.kill(SIGKILL, options());
      await within(process.exited, 'exited');
      process.stdin.destroy();
    });

    check('many processes at once keep their data and exit codes apart', async ({ connect, run }) => {
      const session = await connect();
      const runs = Array.from({ length: CONCURRENT }, async (_, at) => {
        const sent = pattern(10_000 + at * 1000, at + 1);
        const [echoed, exited] = await Promise.all([run(session, programs.cat, sent), run(session, programs.exit(at))]);
        assert.ok(echoed.stdout.equals(sent), `process ${at} got other data`);
        assert.equal(exited.exitCode, at);
      });
      await Promise.all(runs);
    });

    check(
      'a stream that nobody reads holds up no other',
      async ({ connect, exec, run, options, within }) => {
        const session = await connect();
        const unread = await exec(session, programs.flood(muchBytes));
        await pause(50);
        const sent = pattern(256 << 10);
        assert.ok((await run(session, programs.cat, sent)).stdout.equals(sent));
        await session.ping(options());
        await unread.kill(SIGKILL, options());
        await within(unread.exited, 'exited');
        unread.stdout.destroy();
      },
      !features.streamCredit && 'the session has no streamCredit',
    );

    check('output that its reader throws away does not keep the process from ending', async (context) => {
      const { connect, exec, options, within } = context;
      const session = await connect();
      const process = await exec(session, programs.flood(muchBytes));
      process.stdout.destroy();
      process.stderr.resume();
      await within(process.exited, 'exited');
      await session.ping(options());
    });

    check('input that the process does not read does not keep it from ending', async (context) => {
      const { connect, exec, within, options } = context;
      const session = await connect();
      const process = await exec(session, programs.succeed);
      process.stdin.on('error', () => {});
      process.stdin.end(pattern(1 << 20));
      process.stdout.resume();
      process.stderr.resume();
      assert.equal((await within(process.exited, 'exited')).exitCode, 0);
      await session.ping(options());
    });

    check('kill() ends a process by the signal', async ({ connect, exec, options, within }) => {
      const session = await connect();
      for (const signal of [SIGTERM, SIGKILL]) {
        const process = await exec(session, programs.sleep);
        await process.kill(signal, options());
        const exit = await within(process.exited, 'exited');
        assert.equal(exit.exitCode, 128 + signal);
        assert.ok(exit.signal === undefined || exit.signal === signal, `signal ${exit.signal}`);
        await drained(process);
      }
    });

    check('kill() of a process that has ended rejects with AGENT_REFUSED', async (context) => {
      const { connect, exec, options, within } = context;
      const process = await exec(await connect(), programs.succeed);
      await drained(process);
      await within(process.exited, 'exited');
      await expectCode(process.kill(SIGTERM, options()), 'AGENT_REFUSED');
    });

    check(
      'a program that does not exist: AGENT_EXEC_FAILED, or it ends with 127',
      async ({ connect, run, options }) => {
        const session = await connect();
        const outcome = await outcomeOf(run(session, programs.missing));
        if ('value' in outcome) assert.equal(outcome.value.exitCode, 127);
        else {
          const error = await expectCode(Promise.reject(outcome.error), 'AGENT_EXEC_FAILED');
          assert.ok(features.errorTexts === false || typeof error.details.reason === 'string', 'details.reason');
        }
        await session.ping(options());
        assert.equal((await run(session, programs.succeed)).exitCode, 0);
      },
    );

    check('environment and working directory are those asked for', async ({ connect, run }) => {
      const session = await connect();
      const value = 'with spaces, "quotes", $dollar and ümlaut';
      const env = { CONTRACT: value, PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' };
      assert.equal((await run(session, programs.printEnv('CONTRACT'), '', { env })).stdout.toString(), `${value}\n`);
      const workingDirectory = contract.directory ?? '/tmp';
      const { stdout } = await run(session, programs.workingDirectory, '', { workingDirectory });
      assert.equal(stdout.toString(), `${workingDirectory}\n`);
    });

    check('exec() with a signal that has fired rejects with its reason and runs nothing', async (context) => {
      const { connect, run } = context;
      const session = await connect();
      const spec = { argv: programs.succeed, env: {}, workingDirectory: '/', terminal: false };
      await expectCode(session.exec(spec, abortedCall()), 'ABORTED');
      assert.equal((await run(session, programs.succeed)).exitCode, 0);
    });
  });

  describe('terminals', () => {
    const notDeclared = !capabilities.terminal && 'terminal is not declared';

    check(
      'a process on a terminal: one output, its stderr ended from the start',
      async ({ connect, exec, options, within }) => {
        const process = await exec(await connect(), programs.cat, { terminal: true });
        const ended = once(process.stderr.resume(), 'end');
        await within(ended, "stderr's end");
        process.stdout.resume();
        await process.kill(SIGKILL, options());
        await within(process.exited, 'exited');
      },
      notDeclared,
    );

    check(
      'a terminal has the size asked for',
      async ({ connect, run }) => {
        const size = { rows: 43, columns: 132 };
        const argv = programs.terminalSize as readonly string[];
        const { stdout } = await run(await connect(), argv, undefined, { terminal: true, size });
        assert.match(stdout.toString(), /\b43 132\b/);
      },
      notDeclared || (!programs.terminalSize && 'the guest has no such program (programs.terminalSize)'),
    );

    check(
      'resize() changes the size',
      async ({ connect, exec, options, within }) => {
        const size = { rows: 24, columns: 80 };
        const argv = programs.terminalSizeAfterLine as readonly string[];
        const process = await exec(await connect(), argv, { terminal: true, size });
        await process.resize({ rows: 50, columns: 200 }, options());
        process.stdin.write('\n');
        let text = '';
        for await (const chunk of process.stdout) text += chunk;
        await within(process.exited, 'exited');
        assert.match(text, /\b50 200\b/);
      },
      notDeclared ||
        (!programs.terminalSizeAfterLine && 'the guest has no such program (programs.terminalSizeAfterLine)'),
    );

    check(
      'exec() with a terminal rejects with NOT_SUPPORTED where terminal is not declared',
      async ({ connect, exec }) => {
        await expectCode(exec(await connect(), programs.cat, { terminal: true }), 'NOT_SUPPORTED');
      },
      capabilities.terminal && 'it is declared',
    );
  });
}

async function drained({ stdout, stderr }: GuestProcess): Promise<void> {
  stdout.resume();
  stderr.resume();
}
