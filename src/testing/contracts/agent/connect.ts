import assert from 'node:assert/strict';
import { CAPABILITY_SCHEMAS } from '../../../core/registry/capabilities.js';
import { assertDeepFrozen } from '../../kit/assertions.js';
import { abortableCall, abortedCall, turn } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import { type AgentSuite, pattern } from './context.js';
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
        const { agent, hostile } = context;
        const channels = hostile().ends;
        await expectCode(
          agent.connect({ channels, creditWindowBytes: null, resumed: false }, abortedCall()),
          'ABORTED',
        );
      },
    );

    check('connect() that is aborted while it waits rejects at once and destroys the channels', async (context) => {
      const { agent, hostile, within } = context;
      const call = abortableCall();
      const connecting = agent.connect({ channels: hostile().ends, creditWindowBytes: null, resumed: false }, call);
      connecting.catch(() => {});
      await turn();
      call.abort();
      await expectCode(within(connecting, 'connect() that was aborted'), 'ABORTED');
    });

    check('connect() to a guest that says nothing rejects with TIMEOUT at its deadline', async (context) => {
      const { agent, hostile, options, timeouts } = context;
      const connection = { channels: hostile().ends, creditWindowBytes: null, resumed: false };
      await expectCode(agent.connect(connection, options(timeouts.shortMs)), 'TIMEOUT');
    });

    check('connect() to a guest that hangs up rejects with AGENT_CLOSED', async ({ agent, hostile, options }) => {
      const { ends, guest } = hostile();
      const connecting = agent.connect({ channels: ends, creditWindowBytes: null, resumed: false }, options());
      connecting.catch(() => {});
      await turn();
      for (const channel of guest) channel.destroy();
      await expectCode(connecting, 'AGENT_CLOSED');
    });

    for (const [what, bytes] of Object.entries(GARBAGE)) {
      check(`connect() to a guest that sends ${what} rejects, neither hanging nor crashing`, async (context) => {
        const { agent, hostile, options, timeouts } = context;
        const { ends, guest } = hostile();
        for (const channel of guest) channel.write(bytes());
        const connection = { channels: ends, creditWindowBytes: null, resumed: false };
        // What looks like the beginning of a long message may be waited for, until the deadline.
        const codes = ['AGENT_PROTOCOL', 'AGENT_CLOSED', 'AGENT_VERSION', 'TIMEOUT'] as const;
        await expectCode(agent.connect(connection, options(timeouts.shortMs)), ...codes);
      });
    }
  });
}
