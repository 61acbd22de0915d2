import assert from 'node:assert/strict';
import { pause } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import { pattern } from '../agent/context.js';
import { POSIX_PROGRAMS } from '../agent/types.js';
import type { HyperplugSuite } from './context.js';
import type { HyperplugContract } from './types.js';

const SIGKILL = 9;

/** Commands and files in a pod: the same whatever way leads to it. */
export function commandContract({ describe, check }: HyperplugSuite, contract: HyperplugContract): void {
  const { programs = POSIX_PROGRAMS, muchBytes = 4 << 20 } = contract;

  describe('commands', () => {
    check('streams apart, exit code, environment, directory, several at once', async ({ pod }) => {
      const made = await pod();
      const result = await made.exec(programs.print('out', 'err'));
      assert.deepEqual([result.stdout, result.stderr, result.exitCode], ['out', 'err', 0]);
      assert.equal((await made.exec(programs.exit(7), { reject: false })).exitCode, 7);
      assert.equal((await made.exec(programs.printEnv('GREETING'), { env: { GREETING: 'hé' } })).stdout, 'hé');
      assert.equal((await made.exec(programs.workingDirectory, { cwd: '/tmp' })).stdout, '/tmp');
      const many = Array.from({ length: 12 }, async (_, at) => {
        const sent = pattern(10_000 + at, at + 1);
        const { stdout } = await made.exec(programs.cat, { input: sent, encoding: 'buffer' });
        assert.ok(stdout.equals(sent), `command ${at} got other data`);
      });
      await Promise.all(many);
    });

    check('a program that is not there is told as such', async ({ pod }) => {
      const error = await expectCode((await pod()).exec(programs.missing), 'AGENT_EXEC_FAILED', 'POD_COMMAND_FAILED');
      if (error.code === 'POD_COMMAND_FAILED') assert.equal((error as unknown as { exitCode: number }).exitCode, 127);
    });

    check('much data goes through unchanged, though the reader is slow', async ({ pod, within }) => {
      const process = await (await pod()).spawn({ argv: programs.cat });
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
      assert.ok(Buffer.concat(received).equals(sent), 'the data was changed');
    });

    check('input that nobody reads is held up, and bounded', async ({ pod, options, timeouts, within }) => {
      const process = await (await pod()).spawn({ argv: programs.sleep });
      process.stdin.on('error', () => {});
      const block = Buffer.alloc(64 << 10);
      let done = 0;
      const writing = (async () => {
        for (; done < 512; done++) {
          await new Promise<void>((resolve) => void process.stdin.write(block, () => resolve()));
          if (process.stdin.destroyed) return;
        }
      })();
      await Promise.race([writing, pause(timeouts.shortMs)]);
      assert.ok(done < 512, 'writes are done though nobody has read them');
      await process.kill(SIGKILL, options());
      await within(process.exited, 'exited');
      process.stdin.destroy();
    });

    check('a stream that nobody reads holds up no other command', async ({ pod, options, within }) => {
      const made = await pod();
      const unread = await made.spawn({ argv: programs.flood(muchBytes) });
      await pause(50);
      assert.equal((await made.exec(programs.print('fine', ''))).stdout, 'fine');
      await unread.kill(SIGKILL, options());
      await within(unread.exited, 'exited');
      unread.stdout.destroy();
    });

    check('a command is killed by its signal, by its deadline, and by its aborted call', async ({ pod, within }) => {
      const made = await pod();
      const killed = made.exec(programs.sleep, { reject: false });
      await killed.started;
      await killed.kill('SIGKILL');
      assert.notEqual((await within(killed, 'the end')).exitCode, 0);
      const late = await within(made.exec(programs.sleep, { timeoutMs: 100, reject: false }), 'the end');
      assert.equal(late.timedOut, true);
      const controller = new AbortController();
      const aborted = made.exec(programs.sleep, { signal: controller.signal });
      await aborted.started;
      controller.abort();
      await expectCode(within(aborted, 'the end'), 'ABORTED');
    });

    check(
      'a terminal has its size, and is told of another',
      async ({ pod }) => {
        const process = (await pod()).exec(programs.terminalSizeAfterLine ?? [], {
          terminal: true,
          size: { rows: 33, columns: 99 },
        });
        await process.started;
        await process.resize({ rows: 12, columns: 34 });
        process.stdin.write('\n');
        assert.match((await process).stdout, /12 34/);
      },
      !programs.terminalSizeAfterLine && 'the guest has no program for it',
    );

    check('a VM that is killed ends its commands, and the reason is told', async ({ pod, bench, within }) => {
      const made = await pod({ id: 'dies' });
      const process = made.exec(programs.sleep);
      await process.started;
      await bench.killVm('dies');
      await expectCode(within(process, 'the end'), 'VM_EXITED', 'AGENT_CLOSED');
    });
  });

  describe('files', () => {
    check('go in and come out unchanged, empty ones and large ones', async ({ pod }) => {
      const { files } = await pod();
      for (const size of [0, 1, 70_000, 1 << 20]) {
        const content = pattern(size, size + 1);
        await files.write('/tmp/file with spaces & more', content);
        assert.ok((await files.read('/tmp/file with spaces & more')).equals(content), `${size} bytes were changed`);
      }
    });

    check('one that is not there is refused with the reason', async ({ pod }) => {
      const error = await expectCode((await pod()).files.read('/no/such/file'), 'AGENT_REFUSED');
      assert.ok(error.details.reason);
    });
  });
}
