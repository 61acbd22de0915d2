import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { GuestSession } from '../../../core/agent.js';
import type { ErrorCode } from '../../../core/error-codes.js';
import { settles } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import { GARBAGE } from './connect.js';
import type { AgentContext, AgentSuite } from './context.js';
import { notRefused } from './session.js';
import { type AgentContract, POSIX_PROGRAMS } from './types.js';

/** A conversation in full swing: a call that waits, a process that runs. */
async function busy(context: AgentContext, { programs = POSIX_PROGRAMS }: AgentContract) {
  const session = await context.connect();
  const process = await context.exec(session, programs.sleep);
  const streams = [process.stdin, process.stdout, process.stderr];
  for (const stream of streams) stream.on('error', () => {});
  const destroyed = Promise.all(streams.map((stream) => stream.destroyed || once(stream, 'close').catch(() => {})));
  process.stdout.resume();
  process.stderr.resume();
  for (const wire of context.wires) wire.stall();
  const calls = [session.ping(context.options()), session.startPod(SETUP, context.options()), process.exited];
  for (const call of calls) call.catch(() => {});
  return { session, calls, destroyed };
}

const SETUP = { hostname: 'contract', dns: [], dnsSearch: [], dnsOptions: [] };

async function allOver(
  context: AgentContext,
  parts: { session: GuestSession; calls: readonly Promise<unknown>[]; destroyed: Promise<unknown> },
  codes: readonly ErrorCode[],
) {
  const { graceMs } = context.timeouts;
  const { session, calls, destroyed } = parts;
  for (const call of calls) await expectCode(settles(call, graceMs, 'a waiting call'), ...codes);
  const reason = await settles(session.closed, graceMs, 'session.closed');
  assert.ok(reason instanceof Error);
  await settles(destroyed, graceMs, "the process's streams");
  assert.deepEqual(await notRefused(session, context), []);
}

export function endContract({ describe, check }: AgentSuite, contract: AgentContract): void {
  const names = contract.capabilities.channels;

  describe('the end of a conversation', () => {
    for (const [at, name] of names.entries()) {
      check(`when channel ${name} dies, everything that waits fails with AGENT_CLOSED at once`, async (context) => {
        const parts = await busy(context, contract);
        context.wires[at]?.sever();
        await allOver(context, parts, ['AGENT_CLOSED']);
      });

      check(`when channel ${name} fails, everything that waits fails with AGENT_CLOSED at once`, async (context) => {
        const parts = await busy(context, contract);
        context.wires[at]?.end.destroy(new Error('the channel failed'));
        await allOver(context, parts, ['AGENT_CLOSED']);
      });

      for (const [what, bytes] of Object.entries(GARBAGE)) {
        if (what === 'a flood of noise') continue;
        check(`${what} on channel ${name} ends the conversation, and nothing hangs`, async (context) => {
          const parts = await busy(context, contract);
          context.wires[at]?.inject(bytes());
          await allOver(context, parts, ['AGENT_PROTOCOL', 'AGENT_CLOSED']);
        });
      }
    }

    check('close() ends everything, and every call afterwards rejects with AGENT_CLOSED', async (context) => {
      const parts = await busy(context, contract);
      await parts.session.close();
      await allOver(context, parts, ['AGENT_CLOSED']);
    });

    check('close() is idempotent, also after the channel died', async (context) => {
      const { connect, wires } = context;
      const session = await connect();
      await Promise.all([session.close(), session.close()]);
      await session.close();
      wires[0]?.sever();
      await session.close();
    });

    check('closed is pending while the conversation lasts', async ({ connect, options }) => {
      const session = await connect();
      let over = false;
      void session.closed.then(() => {
        over = true;
      });
      await session.ping(options());
      assert.equal(over, false);
    });
  });
}
