import assert from 'node:assert/strict';
import type { Duplex } from 'node:stream';
import type { CallOptions } from '../../../core/calls.js';
import type { ErrorCode } from '../../../core/error-codes.js';
import { CAPABILITY_SCHEMAS } from '../../../core/registry/capabilities.js';
import { assertDeepFrozen } from '../../kit/assertions.js';
import { abortableCall, abortedCall, eventually, turn } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import { type AgentContext, type AgentSuite, pattern } from './context.js';
import type { AgentContract } from './types.js';

/** What no agent says; the last two go on and on. */
export const GARBAGE: Readonly<Record<string, () => Buffer>> = {
  'bytes 0xff': () => Buffer.alloc(256, 0xff),
  'words of another protocol': () => Buffer.from('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'.repeat(4)),
  'a flood of zeros': () => Buffer.alloc(4 << 20),
  'a flood of noise': () => pattern(4 << 20, 7),
};

export function connectContract({ describe, check }: AgentSuite, contract: AgentContract): void {
  const { capabilities, features } = contract;

  describe('connect', () => {
    check('capabilities are complete, frozen throughout, and what the plugin declared', async ({ agent }) => {
      CAPABILITY_SCHEMAS.agent.parse(agent.capabilities);
      assertDeepFrozen(agent.capabilities, 'capabilities');
      assert.deepEqual(agent.capabilities, capabilities);
    });

    check('connect() gives a session that says what it can and with whom it speaks', async ({ connect, options }) => {
      const session = await connect();
      assert.deepEqual({ ...session.features }, { ...features });
      assert.ok(session.description.length > 0);
      await session.ping(options());
    });

    check(
      'connect() with a signal that has fired rejects with its reason and destroys the channels',
      async (context) => {
        const { ends } = context.hostile();
        await refused(context, ends, abortedCall(), ['ABORTED']);
      },
    );

    check('connect() that is aborted while it waits rejects at once and destroys the channels', async (context) => {
      const { ends } = context.hostile();
      const call = abortableCall();
      const rejected = refused(context, ends, call, ['ABORTED']);
      rejected.catch(() => {});
      await turn();
      call.abort();
      await context.within(rejected, 'connect() that was aborted');
    });

    check('connect() to a guest that says nothing rejects with TIMEOUT at its deadline', async (context) => {
      const { ends } = context.hostile();
      await refused(context, ends, context.options(context.timeouts.shortMs), ['TIMEOUT']);
    });

    check('connect() to a guest that hangs up rejects with AGENT_CLOSED', async (context) => {
      const { ends, guest } = context.hostile();
      const rejected = refused(context, ends, context.options(), ['AGENT_CLOSED']);
      rejected.catch(() => {});
      await turn();
      for (const channel of guest) channel.destroy();
      await rejected;
    });

    for (const [what, bytes] of Object.entries(GARBAGE)) {
      check(`connect() to a guest that sends ${what} rejects, neither hanging nor crashing`, async (context) => {
        const { ends, guest } = context.hostile();
        for (const channel of guest) channel.write(bytes());
        // What looks like the beginning of a long message may be waited for, until the deadline.
        const codes = ['AGENT_PROTOCOL', 'AGENT_CLOSED', 'AGENT_VERSION', 'TIMEOUT'] as const;
        await refused(context, ends, context.options(context.timeouts.shortMs), codes);
      });
    }
  });
}

/** connect() rejects with one of `codes`, and the channels are destroyed by then (or a moment later). */
async function refused(
  { agent, timeouts }: AgentContext,
  channels: readonly Duplex[],
  options: CallOptions,
  codes: readonly ErrorCode[],
): Promise<void> {
  await expectCode(agent.connect({ channels, creditWindowBytes: null, resumed: false }, options), ...codes);
  const destroyed = () => channels.every((channel) => channel.destroyed);
  await eventually(destroyed, timeouts.graceMs, 'the channels are destroyed');
}
